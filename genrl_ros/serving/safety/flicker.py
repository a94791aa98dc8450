"""Tells changes of a state as they come, and many of them in a few seconds as one summary."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

WINDOW_S = 5.0


@dataclass
class Flicker:
    """What to log of a state that may flicker, as when a computer is too busy.

    A change is told at once, if none was in the window before it. Those that follow are counted,
    and told together when the window ends, with what it may come from.

    Attributes:
        causes: by a word of the reasons, what is late then.
        window_s: steady seconds.
    """

    causes: Mapping[str, str] = field(default_factory=dict)
    window_s: float = WINDOW_S
    _end_s: float = float('-inf')
    _counts: Counter[str] = field(default_factory=Counter)
    _last: str = ''

    def change(self, text: str, now_s: float) -> str:
        """A new state in words, at a steady time; what to log, '' if it waits for a summary."""
        self._last = text
        if now_s >= self._end_s:
            self._end_s = now_s + self.window_s
            return text
        self._counts[text] += 1
        return ''

    def summary(self, now_s: float) -> str:
        """What to log of a window that has ended; '' if there is nothing. To be asked often."""
        if now_s < self._end_s or not self._counts:
            return ''
        times = '; '.join(
            text if count == 1 else f'{count} times {text}'
            for text, count in self._counts.most_common()
        )
        late = [cause for word, cause in self.causes.items() if word in times]
        if late and (busy := busy_processor()):
            late.append(busy)
        why = f' ({"; ".join(late)})' if late else ''
        many = self._counts.total() > 1
        self._counts.clear()
        self._end_s = now_s + self.window_s
        return f'in {self.window_s:g} s: {times}; now {self._last}{why}' if many else self._last


def busy_processor() -> str:
    """That more processes want to compute than there are cores, in words; '' if it is not so."""
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    return f'this processor is busy: load {load:.1f} on {cores} cores' if load > cores else ''
