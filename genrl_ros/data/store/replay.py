"""Random windows and steps of stored episodes, for training."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from genrl_ros.data.store.episode_file import EpisodeError
from genrl_ros.data.store.episode_store import CLIP, EpisodeStore

REFRESH_EVERY = 500
IMAGINED = 'imagined '
"""How kinds of episodes begin that policies made which were learned in imagination."""


class Window(NamedTuple):
    """Consecutive frames: which episode, and where they begin in it."""

    episode: str
    start: int


class Steps(NamedTuple):
    """Single frames of an episode, and where the clip ends that follows each of them."""

    episode: str
    now: tuple[int, ...]
    ends: tuple[int, ...]


Part = TypeVar('Part')
Arrays = dict[str, npt.NDArray[Any]]
Place = Callable[[str, str], Path]


class Source(ABC, Generic[Part]):
    """Draws episodes uniformly, and a part of each.

    Held-out episodes are never drawn. A store that is still growing is looked at anew every few
    hundred batches; episodes that lack something are left out. Two sources of the same finished
    store, seed and sizes draw the same batches. Drawing costs nothing and has an order; reading
    what was drawn may be done at any time, by any thread.

    Args:
        store: the episodes.
        batch: parts in a batch.
        shortest: frames that an episode must have.
        seed: of the draws.
        embedder: identity of the embedder whose embeddings are needed; none unless given.
        tokenizer: identity of the tokenizer whose logits are needed.
        dynamics: identity of the world model whose states are needed.
        growing: look at the store anew from time to time.

    Raises:
        ValueError: if no episode is long enough, or none has what is needed.
    """

    def __init__(
        self,
        store: EpisodeStore,
        batch: int,
        shortest: int,
        seed: int,
        embedder: str | None,
        tokenizer: str | None,
        dynamics: str | None,
        growing: bool,
    ) -> None:
        self.batch = batch
        self._store, self._shortest, self._growing = store, shortest, growing
        self.embedder, self._tokenizer, self._dynamics = embedder, tokenizer, dynamics
        self._rng, self._seed = np.random.default_rng(seed), seed
        self._drawn = 0
        self._episodes = self._usable()

    @property
    def origin(self) -> dict[str, Any]:
        """What the order of batches comes from: the seed, and the dataset however it grows."""
        return {'seed': self._seed, 'data': self._store.origin}

    @property
    def identity(self) -> str:
        """sha256 over the episodes that are drawn from."""
        return hashlib.sha256('\n'.join(self._episodes).encode()).hexdigest()

    def draw(self) -> list[Part]:
        """The parts of the next batch."""
        if self._growing and self._drawn and self._drawn % REFRESH_EVERY == 0:
            self._store = EpisodeStore.open(self._store.path)
            self._episodes = self._usable()
        self._drawn += 1
        return [self._draw(self._episode()) for _ in range(self.batch)]

    def read(self, parts: Sequence[Part]) -> Arrays:
        """What `_read` gives of each part, stacked, from the disk."""
        arrays = [self._read(part) for part in parts]
        return {key: np.stack([each[key] for each in arrays]) for key in arrays[0]}

    def sample(self) -> Arrays:
        """The next batch, drawn and read."""
        return self.read(self.draw())

    def state_dict(self) -> dict[str, Any]:
        """What is needed to go on drawing where this source is."""
        return {'rng': dict(self._rng.bit_generator.state), 'drawn': self._drawn}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self._rng.bit_generator.state = state['rng']
        self._drawn = int(state['drawn'])

    @abstractmethod
    def _draw(self, episode: str) -> Part: ...

    @abstractmethod
    def _read(self, part: Part) -> Arrays: ...

    def _states(self, episode: str, now: npt.NDArray[np.integer]) -> Arrays:
        """Latents and recurrent states of an episode's frames."""
        assert self._tokenizer and self._dynamics
        return {
            'logits': self._store.logits(self._tokenizer, episode)[now],
            'deter': self._store.deter(self._dynamics, episode)[now],
        }

    def _episode(self) -> str:
        return self._episodes[int(self._rng.integers(len(self._episodes)))]

    def _usable(self) -> list[str]:
        store = self._store
        long = [name for name in store.training if store.length(name) >= self._shortest]
        if not long:
            raise EpisodeError(
                f'{store.path} has no training episode of {self._shortest} frames or more; '
                'collect more, or train on shorter windows'
            )
        usable = long
        for of, what, place, cure in self._needed():
            if of is None:
                continue
            usable = [name for name in usable if place(of, name).exists()]
            if not usable:
                raise EpisodeError(f'{store.path} has no {what} {of[:16]}; {cure}')
        return usable

    def _needed(self) -> Iterator[tuple[str | None, str, Place, str]]:
        """What a part is read from: of whom, what it is, where it lies, and how it is made."""
        store, made = self._store, '`genrl pretrain` and `genrl connect` make them'
        embed = 'make them with `genrl embed`'
        yield self.embedder, 'embeddings by embedder', store.embedding_path, embed
        yield self._tokenizer, 'latents by tokenizer', store.logits_path, made
        yield self._dynamics, 'states of world model', store.states_path, made


class Replay(Source[Window]):
    """Draws windows: an episode uniformly, then a start within it uniformly.

    A batch is `image` `(B, T, 3, H, W)` uint8, `action` `(B, T, A)` float32, `is_first` `(B, T)`
    float32; with an embedder `embed` `(B, T, D)` float32; with a tokenizer, in place of `image`,
    `logits` `(B, T, S, K)` float16.

    Args:
        store: the episodes.
        batch: windows in a batch.
        length: frames in a window.
        seed: of the draws.
        embedder: identity of the embedder whose embeddings come along; none unless given.
        tokenizer: identity of the tokenizer whose logits come in place of images.
        growing: look at the store anew from time to time.
        tried: share of windows from episodes of policies that were tried in rounds; as many as
            there are, unless given.

    Raises:
        ValueError: if no episode is long enough, or none has the embeddings or logits.
    """

    def __init__(
        self,
        store: EpisodeStore,
        batch: int,
        length: int,
        seed: int,
        embedder: str | None = None,
        tokenizer: str | None = None,
        growing: bool = True,
        tried: float | None = None,
    ) -> None:
        self._length, self._tried = length, tried
        super().__init__(store, batch, length, seed, embedder, tokenizer, None, growing)

    def _usable(self) -> list[str]:
        usable = super()._usable()
        self._rounds = [name for name in usable if self._store.kind(name).startswith(IMAGINED)]
        return usable

    def _episode(self) -> str:
        if self._tried is not None and self._rounds and self._rng.random() < self._tried:
            return self._rounds[int(self._rng.integers(len(self._rounds)))]
        return super()._episode()

    def _draw(self, episode: str) -> Window:
        start = int(self._rng.integers(self._store.length(episode) - self._length + 1))
        return Window(episode, start)

    def _read(self, part: Window) -> Arrays:
        episode, start = part
        frames = slice(start, start + self._length)
        first = np.zeros(self._length, np.float32)
        first[0] = float(start == 0)
        arrays: Arrays = {
            'action': self._store.action(episode)[frames],
            'is_first': first,
        }
        if self._tokenizer is None:
            arrays['image'] = self._store.image(episode)[frames]
        else:
            arrays['logits'] = self._store.logits(self._tokenizer, episode)[frames]
        if self.embedder is not None:
            arrays['embed'] = self._store.embedding(self.embedder, episode)[frames]
        return arrays


class StepReplay(Source[Steps]):
    """Draws steps from anywhere in an episode, each with a clip that follows it.

    A batch is, of each step, `logits` `(B, N, S, K)` float16, `deter` `(B, N, H)` float16, the
    `action` `(B, N, A)` float32 that came next, and `embed` `(B, N, D)` float32 of a clip of eight
    frames that ends later in the episode: `delay` steps after the action's frame or more, each
    further step with the chance `discount`.

    Args:
        store: the episodes.
        batch: episodes in a batch.
        steps: N, drawn of each.
        delay: steps from the action's frame to the end of the earliest clip.
        discount: chance of each further step.
        seed: of the draws.
        embedder: identity of the embedder.
        tokenizer: identity of the tokenizer.
        dynamics: identity of the world model whose states come along.
        growing: look at the store anew from time to time.

    Raises:
        ValueError: if no episode is long enough, or none has embeddings, logits and states.
    """

    def __init__(
        self,
        store: EpisodeStore,
        batch: int,
        steps: int,
        delay: int,
        discount: float,
        seed: int,
        embedder: str,
        tokenizer: str,
        dynamics: str,
        growing: bool = True,
    ) -> None:
        self._steps, self._delay, self._discount = steps, delay, discount
        shortest = max(delay + 2, CLIP)
        super().__init__(store, batch, shortest, seed, embedder, tokenizer, dynamics, growing)

    def _draw(self, episode: str) -> Steps:
        last = self._store.length(episode) - 1
        now = self._rng.integers(last - self._delay, size=self._steps)
        first = np.maximum(now + 1 + self._delay, CLIP - 1)
        ends = first + geometric(self._rng.random(self._steps), last - first + 1, self._discount)
        return Steps(episode, tuple(map(int, now)), tuple(map(int, ends)))

    def _read(self, part: Steps) -> Arrays:
        assert self.embedder
        store, episode, now = self._store, part.episode, np.array(part.now)
        return {
            **self._states(episode, now),
            'action': store.action(episode)[now + 1],
            'embed': store.embedding(self.embedder, episode)[np.array(part.ends)],
        }


def geometric(
    draw: npt.NDArray[np.float64], choices: npt.NDArray[np.integer], discount: float
) -> npt.NDArray[np.int64]:
    """Numbers from 0 to `choices - 1`, each `discount` times as likely as the one before.

    Args:
        draw: uniform in [0, 1).
        choices: how many there are.
        discount: in (0, 1).
    """
    remaining = np.log1p(-draw * (1 - discount**choices)) / math.log(discount)
    return np.minimum(remaining.astype(np.int64), choices - 1)
