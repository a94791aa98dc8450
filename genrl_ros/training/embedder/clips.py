"""Makes the clips that the embedder is trained with: rehearsed states, drawn in a varied studio.

Nothing here belongs to the world model's dataset: other seeds, other cameras, other lights. A take
is twelve frames of one camera, which hold five overlapping clips, and five more backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genrl_ros.system.arrays import Image
from genrl_ros.system.files import check_regular, read_json
from genrl_ros.training.embedder.source import Concepts, ConceptSource, States, Studio
from genrl_ros.training.embedder.unfinished_clips import UnfinishedClips
from genrl_ros.training.engine.run import StoppedError
from genrl_ros.vlm.labels import Labels

N_FRAMES = 8
TAKE_FRAMES = 12
CLIPS_A_TAKE = TAKE_FRAMES - N_FRAMES + 1
STRIDES, STRIDE_ODDS = (1, 2, 4), (0.2, 0.6, 0.2)
"""Control steps between two frames: half, equal and double the agent's speed."""
SPLITS = ('train', 'held_out', 'published_camera')
FIRST_SEED = 1_000_000
"""Seeds below belong to the world model's dataset and to evaluation."""
KEEP_EVERY = 100
"""Takes that may be lost."""


@dataclass(frozen=True)
class ClipConfig:
    """How many clips, and from what."""

    rehearsals: int = 0
    """Rehearsals with a seed each, an eighth of them kept for testing; 0: as the domain asks."""
    takes: int = 0
    """Takes to train with; 0: as the domain asks."""
    held_out_takes: int = 300
    """Takes of rehearsals that are kept for testing, with varied cameras."""
    published_takes: int = 300
    """The same, with the published camera."""
    seed: int = FIRST_SEED
    """First seed."""

    @property
    def split_takes(self) -> tuple[int, int, int]:
        """Takes of each of `SPLITS`."""
        return self.takes, self.held_out_takes, self.published_takes

    def __post_init__(self) -> None:
        if self.seed < FIRST_SEED:
            raise ValueError(
                f'clip seeds start at {FIRST_SEED}, smaller ones belong to the world model'
            )
        if self.rehearsals and self.rehearsals < 8:
            raise ValueError('at least 8 rehearsals are needed, one of them for testing')

    def asked(self, source: ConceptSource) -> ClipConfig:
        """The same, with what the domain asks for where nothing is said."""
        return replace(
            self,
            rehearsals=self.rehearsals or source.rehearsals,
            takes=self.takes or source.takes,
        )


@dataclass(frozen=True)
class Clips:
    """The finished takes.

    Attributes:
        frames: `(N, 12, 3, 64, 64)` uint8, memory-mapped.
        labels: `(N, 2, 5, C)` int8: forwards and backwards, each clip of the take.
        split: `(N,)` int8, index of `SPLITS`.
        concepts: names of the C concepts.
        made: how they were made.
    """

    frames: Image
    labels: Labels
    split: npt.NDArray[np.int8]
    concepts: tuple[str, ...]
    made: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path, concepts: Sequence[str]) -> Clips:
        """Map finished takes into memory.

        Raises:
            FileNotFoundError: if there are none.
            ValueError: if they were made for other concepts.
        """
        if not (folder / 'clips.json').is_file():
            raise FileNotFoundError(f'there are no clips in {folder}')
        meta = read_json(folder / 'clips.json')
        if tuple(meta['concepts']) != tuple(concepts):
            raise ValueError(f'{folder} was made for other concepts: delete it and make it anew')
        paths = [folder / f'{name}.npy' for name in ('frames', 'labels', 'split')]
        for path in paths:
            check_regular(path)
        frames, labels, split = (
            np.load(path, mmap_mode='r', allow_pickle=False) for path in paths
        )
        return cls(frames, labels, split, tuple(concepts), meta['made'])

    @classmethod
    def join(cls, parts: Mapping[str, Clips], concepts: Concepts) -> Clips:
        """The takes of several domains, in memory, as takes about the concepts of all of them."""
        return cls(
            np.concatenate([clips.frames for clips in parts.values()]),
            np.concatenate([concepts.widen(c.labels, name) for name, c in parts.items()]),
            np.concatenate([clips.split for clips in parts.values()]),
            concepts.names,
            {name: dict(clips.made) for name, clips in parts.items()},
        )


class _Bank:
    """Rehearsed states, and which moments of them show what."""

    def __init__(
        self, studio: Studio, rehearsals: Sequence[States], rng: np.random.Generator
    ) -> None:
        self._rehearsals, self._rng = rehearsals, rng
        found: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for number, qpos in enumerate(rehearsals):
            self._index(studio, number, qpos, found)
        self._moments = {key: np.array(moments) for key, moments in found.items()}

    def _index(
        self,
        studio: Studio,
        number: int,
        qpos: States,
        found: dict[tuple[str, int], list[tuple[int, int]]],
    ) -> None:
        scene = studio.watch(qpos)
        for stride in STRIDES:
            starts = np.arange(0, len(qpos) - (TAKE_FRAMES - 1) * stride, 2)
            if not len(starts):
                continue
            at = starts[:, None] + stride * np.arange(N_FRAMES)
            for group, member in studio.groups(scene.at(at)).items():
                if member.any():
                    moments = [(number, int(s)) for s in starts[member]]
                    found.setdefault((group, stride), []).extend(moments)

    def states(self, group: str) -> States:
        """`(12, Q)` states that are good for the group at some point, or for wandering."""
        stride = int(self._rng.choice(STRIDES, p=STRIDE_ODDS))
        moments = self._moments.get((group, stride), self._moments['wandering', stride])
        number, start = moments[self._rng.integers(len(moments))]
        start = max(0, start - stride * int(self._rng.integers(0, CLIPS_A_TAKE)))
        at = start + stride * np.arange(TAKE_FRAMES)
        return self._rehearsals[number][at].copy()


def make_clips(
    studio: Studio,
    concepts: Sequence[str],
    folder: Path,
    config: ClipConfig,
    on_progress: Callable[[int, str], None] = lambda done, what: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Clips:
    """Rehearse, film and label; the folder appears when everything in it is finished.

    What an interrupted call has made is kept beside it, and the same call goes on from there.

    Args:
        studio: rehearses and draws states.
        concepts: names of what its labels are about.
        folder: where the takes are kept.
        config: how many.
        on_progress: called with the number of rehearsals and takes that are done.
        should_stop: asked after each of them.

    Raises:
        StoppedError: if `should_stop` said so; everything is saved.
    """
    split = np.repeat(np.arange(len(SPLITS), dtype=np.int8), config.split_takes)
    shapes: dict[str, tuple[tuple[int, ...], npt.DTypeLike]] = {
        'frames': ((len(split), TAKE_FRAMES, 3, 64, 64), np.uint8),
        'labels': ((len(split), 2, CLIPS_A_TAKE, len(concepts)), np.int8),
        'split': (split.shape, np.int8),
    }
    rng = np.random.default_rng(config.seed)
    made = {'concepts': [*concepts], 'made': asdict(config)}
    work = UnfinishedClips(folder, made, shapes, rng)
    work.arrays['split'][:] = split
    rehearsals = []
    for i in range(config.rehearsals):
        rehearsals.append(work.rehearsal(config.seed + i, studio.rehearse))
        on_progress(i + 1, 'rehearsals')
        if should_stop():
            raise StoppedError(f'{i + 1} of {config.rehearsals} rehearsals')
    kept = config.rehearsals // 8
    train, test = (_Bank(studio, r, rng) for r in (rehearsals[kept:], rehearsals[:kept]))
    for n in range(work.done, len(split)):
        bank = train if SPLITS[split[n]] == 'train' else test
        work.arrays['frames'][n], work.arrays['labels'][n] = _take(
            studio, bank, SPLITS[split[n]], rng
        )
        on_progress(config.rehearsals + n + 1, 'takes')
        stopping = should_stop()
        if (n + 1) % KEEP_EVERY == 0 or stopping:
            work.keep(n + 1)
        if stopping:
            raise StoppedError(f'{n + 1} of {len(split)} takes')
    about = {**asdict(config), 'seconds': round(work.seconds)}
    work.finish(len(split), {'concepts': [*concepts], 'made': about})
    return Clips.open(folder, concepts)


def _take(
    studio: Studio, bank: _Bank, kind: str, rng: np.random.Generator
) -> tuple[Image, Labels]:
    """Frames `(12, 3, 64, 64)` and labels of one take."""
    names, odds = studio.group_odds()
    group = str(rng.choice(names, p=odds))
    states = bank.states(group)
    studio.dress(states, group, rng)
    if kind == 'published_camera':
        studio.look_as_published()
    else:
        studio.vary_look(rng)
    frames = []
    for state in states:
        studio.set_state(state)
        frames.append(studio.render())
    return np.stack(frames), _label_take(studio, states)


def _label_take(studio: Studio, states: States) -> Labels:
    """`(2, 5, C)`: the take's clips forwards, and those of the take played backwards."""
    scene = studio.watch(states)
    at = np.arange(CLIPS_A_TAKE)[:, None] + np.arange(N_FRAMES)
    return np.stack([studio.label(scene.at(each)) for each in (at, TAKE_FRAMES - 1 - at)])
