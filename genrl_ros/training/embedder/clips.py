"""Makes the clips that the embedder is trained with: rehearsed states, drawn in a varied studio.

Nothing here belongs to the world model's dataset: other seeds, other cameras, other lights. A take
is twelve frames of one camera, which hold five overlapping clips, and five more backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from genrl_ros.domains.kitchen.concepts import MOVED, TRUE, Labels, Scene, label
from genrl_ros.domains.kitchen.phrases import CONCEPTS, ELEMENTS
from genrl_ros.system.arrays import FloatArray, Image
from genrl_ros.system.files import check_regular, read_json
from genrl_ros.training.embedder.unfinished_clips import States, UnfinishedClips
from genrl_ros.training.engine.run import StoppedError

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


class Stage(Protocol):
    """A simulator whose states are set and whose look can be varied."""

    @property
    def elements_order(self) -> tuple[str, ...]:
        """Names of the elements, in the order of `progress`."""
        ...

    def vary_look(self, rng: np.random.Generator) -> None:
        """Another camera, light and colours."""
        ...

    def look_as_published(self) -> None:
        """The camera, light and colours of the world model's dataset."""
        ...

    def set_state(self, qpos: npt.NDArray[np.floating]) -> None:
        """Put everything where `qpos` says."""
        ...

    def render(self, size: int) -> Image:
        """`(3, size, size)` uint8."""
        ...

    def places(self, qpos: npt.NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
        """Hand `(T, 3)` and handles `(T, E, 3)`."""
        ...

    def progress(self, qpos: npt.NDArray[np.floating]) -> FloatArray:
        """How far each element is, `(T, E)`."""
        ...

    def set_element(
        self, qpos: npt.NDArray[np.floating], element: str, progress: npt.NDArray[np.floating]
    ) -> None:
        """Put an element where `progress` `(T,)` says, in place."""
        ...


@dataclass(frozen=True)
class ClipConfig:
    """How many clips, and from what."""

    rehearsals: int = 168
    """Rehearsals with a seed each; an eighth is kept for testing."""
    takes: int = 3000
    """Takes to train with."""
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
        if self.rehearsals < 8:
            raise ValueError('at least 8 rehearsals are needed, one of them for testing')


@dataclass(frozen=True)
class Clips:
    """The finished takes.

    Attributes:
        frames: `(N, 12, 3, 64, 64)` uint8, memory-mapped.
        labels: `(N, 2, 5, C)` int8: forwards and backwards, each clip of the take.
        split: `(N,)` int8, index of `SPLITS`.
        made: how they were made.
    """

    frames: Image
    labels: Labels
    split: npt.NDArray[np.int8]
    made: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Clips:
        """Map finished takes into memory.

        Raises:
            FileNotFoundError: if there are none.
            ValueError: if they were made for other concepts.
        """
        if not (folder / 'clips.json').is_file():
            raise FileNotFoundError(f'there are no clips in {folder}')
        meta = read_json(folder / 'clips.json')
        if tuple(meta['concepts']) != CONCEPTS:
            raise ValueError(f'{folder} was made for other concepts: delete it and make it anew')
        paths = [folder / f'{name}.npy' for name in ('frames', 'labels', 'split')]
        for path in paths:
            check_regular(path)
        frames, labels, split = (
            np.load(path, mmap_mode='r', allow_pickle=False) for path in paths
        )
        return cls(frames, labels, split, meta['made'])


class _Bank:
    """Rehearsed states, and which moments of them show what."""

    def __init__(
        self, stage: Stage, rehearsals: Sequence[States], rng: np.random.Generator
    ) -> None:
        self._rehearsals, self._rng = rehearsals, rng
        found: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for number, qpos in enumerate(rehearsals):
            self._index(stage, number, qpos, found)
        self._moments = {key: np.array(moments) for key, moments in found.items()}

    def _index(
        self,
        stage: Stage,
        number: int,
        qpos: States,
        found: dict[tuple[str, int], list[tuple[int, int]]],
    ) -> None:
        progress, (hand, handles) = stage.progress(qpos), stage.places(qpos)
        for stride in STRIDES:
            starts = np.arange(0, len(qpos) - (TAKE_FRAMES - 1) * stride, 2)
            if not len(starts):
                continue
            at = starts[:, None] + stride * np.arange(N_FRAMES)
            scene = Scene(progress[at], hand[at], handles[at])
            for group, member in _groups(scene).items():
                if member.any():
                    moments = [(number, int(s)) for s in starts[member]]
                    found.setdefault((group, stride), []).extend(moments)

    def states(self, group: str) -> States:
        """`(12, 30)` states that show the group at some point, or wandering if none does.

        The kettle is moved by no arm: it is made to travel afterwards.
        """
        stride = int(self._rng.choice(STRIDES, p=STRIDE_ODDS))
        moments = self._moments.get((group, stride), self._moments['wandering', stride])
        number, start = moments[self._rng.integers(len(moments))]
        start = max(0, start - stride * int(self._rng.integers(0, CLIPS_A_TAKE)))
        at = start + stride * np.arange(TAKE_FRAMES)
        return self._rehearsals[number][at].copy()


def _groups(scene: Scene) -> dict[str, npt.NDArray[np.bool_]]:
    """What the moments of a rehearsal are good for; motion counts in either direction."""
    labels = label(scene) == TRUE
    change = np.abs(scene.progress[:, -1] - scene.progress[:, 0]) > MOVED
    groups = {f'{e}/moving': change[:, i] for i, e in enumerate(ELEMENTS)}
    for name in ('reaching', 'touching'):
        groups |= {f'{e}/{name}': labels[:, CONCEPTS.index(f'{e}/{name}')] for e in ELEMENTS}
    return groups | {n: labels[:, CONCEPTS.index(n)] for n in ('idle', 'wandering')}


def _group_odds() -> tuple[list[str], FloatArray]:
    weights = {f'{e}/moving': 4.0 for e in ELEMENTS}
    weights |= {f'{e}/{p}': 1.5 for e in ELEMENTS for p in ('reaching', 'touching')}
    weights |= {'idle': 1.5, 'wandering': 2.0}
    odds = np.array(list(weights.values()), np.float32)
    return list(weights), odds / odds.sum()


def _redress(stage: Stage, qpos: States, group: str, rng: np.random.Generator) -> None:
    """Set elements that rest throughout the take to other states; let the kettle travel."""
    still = np.ptp(stage.progress(qpos), axis=0) < 0.02
    if group == 'kettle/moving':
        begin, lasting = rng.uniform(-4.0, 4.0), rng.uniform(6.0, 14.0)
        way = np.clip((np.arange(TAKE_FRAMES) - begin) / lasting, 0.0, 1.0)
        stage.set_element(qpos, 'kettle', way if rng.random() < 0.5 else way[::-1])
    if rng.random() < 0.35:
        return
    for element, resting in zip(ELEMENTS, still, strict=True):
        if not resting or (element == 'kettle' and group == 'kettle/moving'):
            continue
        choice = rng.random()
        if choice < 0.2:
            stage.set_element(qpos, element, np.full(TAKE_FRAMES, rng.uniform(0.85, 1.05)))
        elif choice < 0.26:
            stage.set_element(qpos, element, np.full(TAKE_FRAMES, rng.uniform(0.1, 0.85)))


def _label_take(stage: Stage, qpos: States) -> Labels:
    """`(2, 5, C)`: the take's clips forwards, and those of the take played backwards."""
    progress, (hand, handles) = stage.progress(qpos), stage.places(qpos)
    at = np.arange(CLIPS_A_TAKE)[:, None] + np.arange(N_FRAMES)
    both = [
        label(Scene(p[at], h[at], s[at]))
        for p, h, s in (
            (progress, hand, handles),
            (progress[::-1], hand[::-1], handles[::-1]),
        )
    ]
    return np.stack(both)


def make_clips(
    stage: Stage,
    rehearse: Callable[[int], States],
    folder: Path,
    config: ClipConfig,
    on_progress: Callable[[int, str], None] = lambda done, what: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Clips:
    """Rehearse, film and label; the folder appears when everything in it is finished.

    What an interrupted call has made is kept beside it, and the same call goes on from there.

    Args:
        stage: draws states.
        rehearse: makes the states of one rehearsal, `(T, 30)`, from a seed.
        folder: where the takes are kept.
        config: how many.
        on_progress: called with the number of rehearsals and takes that are done.
        should_stop: asked after each of them.

    Raises:
        StoppedError: if `should_stop` said so; everything is saved.
        ValueError: if the stage has other elements than the concepts.
    """
    if stage.elements_order != ELEMENTS:
        raise ValueError(f'the stage has {stage.elements_order}, the concepts are of {ELEMENTS}')
    split = np.repeat(np.arange(len(SPLITS), dtype=np.int8), config.split_takes)
    shapes: dict[str, tuple[tuple[int, ...], npt.DTypeLike]] = {
        'frames': ((len(split), TAKE_FRAMES, 3, 64, 64), np.uint8),
        'labels': ((len(split), 2, CLIPS_A_TAKE, len(CONCEPTS)), np.int8),
        'split': (split.shape, np.int8),
    }
    rng = np.random.default_rng(config.seed)
    made = {'concepts': CONCEPTS, 'made': asdict(config)}
    work = UnfinishedClips(folder, made, shapes, rng)
    work.arrays['split'][:] = split
    rehearsals = []
    for i in range(config.rehearsals):
        rehearsals.append(work.rehearsal(config.seed + i, rehearse))
        on_progress(i + 1, 'rehearsals')
        if should_stop():
            raise StoppedError(f'{i + 1} of {config.rehearsals} rehearsals')
    kept = config.rehearsals // 8
    train, test = (_Bank(stage, r, rng) for r in (rehearsals[kept:], rehearsals[:kept]))
    for n in range(work.done, len(split)):
        bank = train if SPLITS[split[n]] == 'train' else test
        work.arrays['frames'][n], work.arrays['labels'][n] = _take(
            stage, bank, SPLITS[split[n]], rng
        )
        on_progress(config.rehearsals + n + 1, 'takes')
        stopping = should_stop()
        if (n + 1) % KEEP_EVERY == 0 or stopping:
            work.keep(n + 1)
        if stopping:
            raise StoppedError(f'{n + 1} of {len(split)} takes')
    about = {**asdict(config), 'seconds': round(work.seconds)}
    work.finish(len(split), {'concepts': CONCEPTS, 'made': about})
    return Clips.open(folder)


def _take(stage: Stage, bank: _Bank, kind: str, rng: np.random.Generator) -> tuple[Image, Labels]:
    """Frames `(12, 3, 64, 64)` and labels of one take."""
    names, odds = _group_odds()
    group = str(rng.choice(names, p=odds))
    qpos = bank.states(group)
    _redress(stage, qpos, group, rng)
    if kind == 'published_camera':
        stage.look_as_published()
    else:
        stage.vary_look(rng)
    frames = []
    for state in qpos:
        stage.set_state(state)
        frames.append(stage.render(64))
    return np.stack(frames), _label_take(stage, qpos)
