"""What is wrong with names of joints, whatever a message holds, in few words."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence

MAX_LETTERS = 80
"""Of the name of a foreign joint that is shown."""
MAX_GUESSES = 50
"""Foreign joints that are shown, or compared with one that is missing."""


def missing_joints(wanted: Sequence[str], found: Sequence[str]) -> list[str]:
    """What is wrong with the names of joints, with a guess where one was renamed."""
    problems = []
    counts = Counter(found)
    unknown = [name for name in counts if name not in wanted and len(name) <= MAX_LETTERS]
    for name in wanted:
        if not counts[name]:
            alike = _most_alike(name, unknown[:MAX_GUESSES])
            guess = f'; is it {alike!r} now?' if alike else ''
            problems.append(f'joint {name!r} is missing{guess}')
        elif counts[name] > 1:
            problems.append(f'joint {name!r} comes {counts[name]} times')
    return problems


def unknown_names(known: Sequence[str], found: Sequence[str]) -> list[str]:
    """Names that are not known, each once, as short and as few as a message for people may be."""
    unknown = [name for name in dict.fromkeys(found) if name not in known]
    shown = [name if len(name) <= MAX_LETTERS else f'{name[:MAX_LETTERS]} ...' for name in unknown]
    more = len(unknown) - MAX_GUESSES
    return shown if more <= 0 else [*shown[:MAX_GUESSES], f'and {more} more']


def _most_alike(name: str, others: Sequence[str]) -> str:
    return next(iter(difflib.get_close_matches(name, others, 1, 0.6)), '')
