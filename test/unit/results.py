"""Figures in the documentation, and the results that they must be of.

A page writes `<!-- results: NAME -->` on a line of its own. All figures of the paragraph, list or
table that follows are then those of `docs/results/NAME.json`, rounded to as many digits as the
page has. A row of a table is compared with what the file holds under the name in its first column.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MARKER = re.compile(r'^<!-- results: (\S+) -->\n+((?:.+\n?)+)', re.MULTILINE)
ANY_MARKER = re.compile(r'^<!--\s*results', re.MULTILINE)
FIGURE = re.compile(r'(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?')


def blocks(page: str) -> list[tuple[str, str]]:
    """Name of the results and text of each marked block.

    Raises:
        ValueError: if a marker is not written as above, or nothing follows.
    """
    found = MARKER.findall(page)
    if len(found) != len(ANY_MARKER.findall(page)):
        raise ValueError('a marker must be `<!-- results: NAME -->` on a line, with a text after')
    return found


def foreign_figures(block: str, results: dict[str, Any]) -> list[str]:
    """Figures of a block that are not in the results, and rows that they do not know."""
    lines = block.splitlines()
    if not block.startswith('|'):
        return _not_among(block, list(numbers(results)))
    wrong: list[str] = []
    for row in lines[2:]:
        name, _, rest = row.strip('| ').partition('|')
        name = name.strip(' *`')
        places = list(_under(name, results))
        if len(places) != 1:
            wrong.append(f'{name}: {len(places)} results of that name')
            continue
        wrong += [f'{name}: {each}' for each in _not_among(rest, list(numbers(places[0])))]
    return wrong


def numbers(value: Any) -> Iterator[float]:
    """All numbers in what a JSON file holds, also those that its texts name."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, str):
        yield from (float(figure.replace(',', '')) for figure in FIGURE.findall(value))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def _not_among(text: str, known: list[float]) -> list[str]:
    return [
        figure
        for figure in FIGURE.findall(text)
        if not any(_is_rounded(figure.replace(',', ''), number) for number in known)
    ]


def _is_rounded(figure: str, number: float) -> bool:
    digits = len(figure.partition('.')[2])
    return abs(float(figure) - number) <= 0.5 * 10**-digits * (1 + 1e-9)


def _under(name: str, results: dict[str, Any]) -> Iterator[Any]:
    for key, value in results.items():
        if key == name:
            yield value
        elif isinstance(value, dict):
            yield from _under(name, value)


def read(path: Path) -> dict[str, Any]:
    """A file of results."""
    held: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
    return held
