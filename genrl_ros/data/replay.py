"""Random windows of stored episodes, for training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genrl_ros.data.episode_store import EpisodeError, EpisodeStore

REFRESH_EVERY = 500


class Window(NamedTuple):
    """Consecutive frames: which episode, and where they begin in it."""

    episode: str
    start: int


class Replay:
    """Draws an episode uniformly, then a start within it uniformly.

    Held-out episodes are never drawn. A store that is still growing is looked at anew every few
    hundred batches; episodes that are not embedded or encoded yet are passed over. Two replays of
    the same finished store, seed and sizes draw the same batches. Drawing costs nothing and has an
    order; reading what was drawn may be done at any time, by any thread.

    Args:
        store: the episodes.
        batch: windows in a batch.
        length: frames in a window.
        seed: of the draws.
        embedder: identity of the embedder whose embeddings come along; none unless given.
        tokenizer: identity of the tokenizer whose logits come in place of images.
        growing: look at the store anew from time to time.

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
    ) -> None:
        self.batch = batch
        self._store, self._length, self._growing = store, length, growing
        self.embedder, self._tokenizer = embedder, tokenizer
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

    def draw(self) -> list[Window]:
        """The windows of the next batch."""
        if self._growing and self._drawn and self._drawn % REFRESH_EVERY == 0:
            self._store = EpisodeStore.open(self._store.path)
            self._episodes = self._usable()
        self._drawn += 1
        return [self._window() for _ in range(self.batch)]

    def read(self, windows: Sequence[Window]) -> dict[str, npt.NDArray[Any]]:
        """The frames of windows, from the disk.

        Returns:
            `image` `(B, T, 3, H, W)` uint8, `action` `(B, T, A)` float32, `is_first` `(B, T)`
            float32; with an embedder `embed` `(B, T, D)` float32; with a tokenizer, in place of
            `image`, `logits` `(B, T, S, K)` float16.
        """
        parts = [self._read(window) for window in windows]
        return {key: np.stack([part[key] for part in parts]) for key in parts[0]}

    def sample(self) -> dict[str, npt.NDArray[Any]]:
        """The next batch, drawn and read."""
        return self.read(self.draw())

    def state_dict(self) -> dict[str, Any]:
        """What is needed to go on drawing where this replay is."""
        return {'rng': dict(self._rng.bit_generator.state), 'drawn': self._drawn}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self._rng.bit_generator.state = state['rng']
        self._drawn = int(state['drawn'])

    def _window(self) -> Window:
        episode = self._episodes[int(self._rng.integers(len(self._episodes)))]
        start = int(self._rng.integers(self._store.length(episode) - self._length + 1))
        return Window(episode, start)

    def _read(self, window: Window) -> dict[str, npt.NDArray[Any]]:
        episode, start = window
        part = slice(start, start + self._length)
        first = np.zeros(self._length, np.float32)
        first[0] = float(start == 0)
        arrays: dict[str, npt.NDArray[Any]] = {
            'action': self._store.action(episode)[part],
            'is_first': first,
        }
        if self._tokenizer is None:
            arrays['image'] = self._store.image(episode)[part]
        else:
            arrays['logits'] = self._store.logits(self._tokenizer, episode)[part]
        if self.embedder is not None:
            arrays['embed'] = self._store.embedding(self.embedder, episode)[part]
        return arrays

    def _usable(self) -> list[str]:
        store = self._store
        long = [name for name in store.training if store.length(name) >= self._length]
        if not long:
            raise EpisodeError(
                f'{store.path} has no training episode of {self._length} frames or more; '
                'collect more, or train on shorter windows'
            )
        usable = long
        for of, what, place, cure in (
            (self.embedder, 'embeddings by embedder', store.embedding_path,
             'make them with `genrl embed`'),
            (self._tokenizer, 'latents by tokenizer', store.logits_path,
             '`genrl pretrain` and `genrl connect` make them'),
        ):  # fmt: skip
            if of is None:
                continue
            usable = [name for name in usable if place(of, name).exists()]
            if not usable:
                raise EpisodeError(f'{store.path} has no {what} {of[:16]}; {cure}')
        return usable
