"""The figures of `genrl bench` as tables, for a terminal or for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from genrl_ros.bench.updates import PARTS

WIDTH = 140
"""Columns of characters that the tables get where the output is no terminal."""


def show(report: Mapping[str, Any], markdown: bool) -> None:
    """Print a report of `genrl bench`."""
    machine = report['machine']
    print(
        f'{machine["name"]} ({machine["device"]}), {machine["threads"]} thread(s), torch '
        f'{machine["torch"]}: matrix products at {report["peak_gflops"]:.0f} GFLOP/s in float32. '
        f'bf16: {report["bf16"]}.\n'
    )
    table = _markdown if markdown else _terminal
    columns = ['size', 'form', 'ms a frame', 'times faster', 'GFLOP/s', 'of peak']
    rows = [
        _update_row(size, form, parts)
        for size in report['sizes']
        for form, parts in size['update'].items()
    ]
    table(
        'Update of world model, connector and aligner; parts in ms a frame',
        [*columns, *PARTS],
        rows,
    )
    columns[2] = 'ms a trajectory'
    rows = [
        [size['size'], form, *_figures(row, size['behavior']['plain'], _peak(size, form))]
        for size in report['sizes']
        for form, row in size['behavior'].items()
    ]
    table(f'Update of a behaviour from {report["starts"]} starts', columns, rows)
    columns = ['channels', 'precision', 'form', 'ns a number']
    rows = [
        [str(row['channels']), row['precision'], row['form'], f'{row["ns_each"]:.1f}']
        for row in report['norms']
    ]
    table('LayerNorm and SiLU, forwards and backwards', columns, rows)


def _update_row(size: Mapping[str, Any], form: str, parts: Mapping[str, Any]) -> list[str]:
    figures = _figures(parts['total'], size['update']['plain']['total'], _peak(size, form))
    shares = [f'{parts[part]["ms_each"]:.2f}' for part in PARTS]
    return [size['size'], form, *figures, *shares]


def _peak(size: Mapping[str, Any], form: str) -> float:
    """What a large product reaches in the precision of a form."""
    return float(size['peak_bf16_gflops' if form.endswith('bf16') else 'peak_gflops'])


def _figures(row: Mapping[str, float], plain: Mapping[str, float], peak: float) -> list[str]:
    return [
        f'{row["ms_each"]:.2f}',
        f'{plain["seconds"] / row["seconds"]:.2f}',
        f'{row["gflops"]:.0f}',
        f'{100 * row["gflops"] / peak:.0f} %',
    ]


def _terminal(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table)


def _markdown(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [columns, ['---'] * len(columns), *rows]
    print(f'{title}:\n', *('| ' + ' | '.join(line) + ' |' for line in lines), '', sep='\n')
