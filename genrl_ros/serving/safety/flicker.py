"""Tells changes of a state as they come, and many of them in a few seconds as one summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

WINDOW_S = 5.0


@dataclass
class Flicker:
    """What to log of a state that may flicker, as when a computer is too busy.

    A change is told at once, if none was in the window before it. Those that follow are counted,
    and told together when the window ends.
    """

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
        many = self._counts.total() > 1
        self._counts.clear()
        self._end_s = now_s + self.window_s
        return f'in {self.window_s:g} s: {times}; now {self._last}' if many else self._last
