"""Draw where the episodes of a dataset have been: `python -m genrl_ros.bench.coverage DOMAIN`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import tyro

from genrl_ros.data.pictures import write_png
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.store.replay import IMAGINED
from genrl_ros.domains import registry

EVERY, BINS, MARGIN = 3, 40, 0.001
"""Frames of which one counts, bins of a histogram, and the share of outliers left out each way."""


@dataclass(frozen=True)
class Config:
    """Arguments of the picture."""

    domain: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='DOMAIN')]
    """Domain of the dataset."""
    out: Path
    """File of the picture, a PNG."""
    pairs: tuple[tuple[str, str], ...] = (('uprightness', 'torso height'), ('speed', 'rotation'))
    """Readings to draw against each other, by name: horizontal, then vertical."""
    data: Path | None = None
    """The dataset; `data/DOMAIN` unless given."""


def main(config: Config) -> None:
    """Draw a row for each pair and a column for each kind of behaviour."""
    import matplotlib as mpl

    mpl.use('Agg')
    from matplotlib import colors, pyplot

    domain = registry.get(config.domain)
    readings = {reading.name: reading for reading in domain.readings}
    states = _by_kind(EpisodeStore.of(config.domain, config.data))
    rows, columns = len(config.pairs), len(states)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(2.5 * columns, 2.5 * rows), dpi=80, layout='constrained',
        sharex='row', sharey='row', squeeze=False,
    )  # fmt: skip
    every = np.concatenate([found for found, _ in states.values()])
    for row, pair in zip(axes, config.pairs, strict=True):
        places = [readings[name].state for name in pair]
        ends = [np.quantile(every[:, place], [MARGIN, 1 - MARGIN]) for place in places]
        bins = [np.linspace(low, high, BINS + 1) for low, high in ends]
        for axis, (kind, (found, episodes)) in zip(row, states.items(), strict=True):
            values = [found[:, place] for place in places]
            axis.hist2d(*values, bins=bins, norm=colors.LogNorm())
            axis.set_xlabel(f'{pair[0]} {_unit(readings[pair[0]].unit)}')
            axis.set_title(f'{kind} ({episodes} episodes)', fontsize=10)
        row[0].set_ylabel(f'{pair[1]} {_unit(readings[pair[1]].unit)}')
    figure.canvas.draw()
    write_png(config.out, np.asarray(figure.canvas.buffer_rgba())[..., :3])


def _by_kind(store: EpisodeStore) -> dict[str, tuple[npt.NDArray[np.float32], int]]:
    """States `(N, Q)` of each kind of behaviour, disturbed or not, and its number of episodes."""
    found: dict[str, list[npt.NDArray[np.float32]]] = {}
    for name in store.episode_ids:
        kind = store.kind(name)
        kind = 'imagined policies' if kind.startswith(IMAGINED) else kind.split()[0]
        found.setdefault(kind, []).append(np.asarray(store.state(name))[::EVERY])
    ordered = sorted(found, key=lambda kind: (kind.startswith('imagined'), kind))
    return {kind: (np.concatenate(found[kind]), len(found[kind])) for kind in ordered}


def _unit(unit: str) -> str:
    return f'({unit})' if unit else ''


if __name__ == '__main__':
    main(tyro.cli(Config, description=__doc__))
