"""Random stretches of stored episodes, also of frames held still, with what follows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from genrl_ros.data.store.episode_store import CLIP, EpisodeStore
from genrl_ros.data.store.replay import Arrays, Place, Source
from genrl_ros.data.store.stills import HELD, STILLS, still_frames
from genrl_ros.system.arrays import FloatArray

LEAD, AHEAD = 16, 64
"""Frames that lead to one which is held still, and those that follow a stretch."""
STATES = LEAD + HELD
"""States of a stretch."""


class Stretch(NamedTuple):
    """Consecutive frames of an episode, or those up to one of its frames that is held still.

    The frames that lead to it are told of the stop as of any other end. And clips that its states
    are asked about: of which episodes, and where they end; and which of the embeddings that are
    known by name.
    """

    episode: str
    start: int
    still: int | None
    goals: tuple[tuple[str, int], ...]
    named: tuple[int, ...]


class StretchReplay(Source[Stretch]):
    """Draws stretches of episodes, and of episodes that are held still, with what follows them.

    A batch is, of each stretch, `logits` `(B, N, S, K)` float16 and `deter` `(B, N, H)` float16 of
    N states, `embed` `(B, N + AHEAD, D)` float32 of the clips that end with them and with the
    frames after them, and `goal` `(B, G, D)` float32 of clips, and of what is known by name. An
    episode stays as it ended.

    Args:
        store: the episodes.
        batch: stretches in a batch.
        held: share of them that are held still.
        goals: number G of goals.
        same: share of the clips from the same part of the episode; the others are from anywhere.
        seed: of the draws.
        embedder: identity of the embedder.
        tokenizer: identity of the tokenizer.
        dynamics: identity of the world model whose states come along.
        growing: look at the store anew from time to time.
        known: `(C, D)` embeddings that are known by name, such as those of an embedder's concepts.
        named: share of the goals that are drawn from them, where there are any.

    Raises:
        ValueError: if no episode is long enough, or none has embeddings, logits and states, with
            those of stills.
    """

    def __init__(
        self,
        store: EpisodeStore,
        batch: int,
        held: float,
        goals: int,
        same: float,
        seed: int,
        embedder: str,
        tokenizer: str,
        dynamics: str,
        growing: bool = True,
        known: FloatArray | None = None,
        named: float = 0.0,
    ) -> None:
        self._held, self._same, self.known = held, same, known
        self._named = 0 if known is None else round(named * goals)
        self._clips = goals - self._named
        super().__init__(store, batch, CLIP, seed, embedder, tokenizer, dynamics, growing)

    def _needed(self) -> Iterator[tuple[str | None, str, Place, str]]:
        yield from super()._needed()
        if self._held:
            cure = '`genrl pretrain` and `genrl connect` make them'
            yield self.embedder, 'stills by embedder', self._store.stills_path, cure
            place = self._store.still_states_path
            yield self._dynamics, 'states of stills by world model', place, cure

    def _draw(self, episode: str) -> Stretch:
        length, still = self._store.length(episode), None
        if self._rng.random() < self._held:
            still = int(self._rng.integers(STILLS))
            start = int(still_frames(episode, length)[still]) - LEAD + 1
        else:
            start = int(self._rng.integers(max(1, length - STATES + 1)))
        goals = tuple(self._goal(episode, start) for _ in range(self._clips))
        count = 0 if self.known is None else len(self.known)
        named = tuple(int(self._rng.integers(count)) for _ in range(self._named))
        return Stretch(episode, start, still, goals, named)

    def _goal(self, episode: str, start: int) -> tuple[str, int]:
        if self._rng.random() < self._same:
            end = min(start + STATES + AHEAD, self._store.length(episode))
            return episode, int(self._rng.integers(max(start, CLIP - 1), end))
        episode = self._episode()
        return episode, int(self._rng.integers(CLIP - 1, self._store.length(episode)))

    def _read(self, part: Stretch) -> Arrays:
        assert self.embedder and self._dynamics
        store, (episode, start, still, *_) = self._store, part
        clips = store.embedding(self.embedder, episode)
        goal = self._read_goals(part)
        if still is None:
            last = store.length(episode) - 1
            frames = np.minimum(start + np.arange(STATES + AHEAD), last)
            states = self._states(episode, frames[:STATES])
            return {**states, 'embed': clips[frames], 'goal': goal}
        lead = np.maximum(start + np.arange(LEAD), 0)
        arrays = self._states(episode, lead)
        shown = store.stills(self.embedder, episode)[still]
        held = store.still_states(self._dynamics, episode)[still]
        longer = np.minimum(np.arange(HELD + AHEAD), CLIP - 1)
        return {
            'logits': np.concatenate([arrays['logits'], arrays['logits'][-1:].repeat(HELD, 0)]),
            'deter': np.concatenate([arrays['deter'], held]),
            'embed': np.concatenate([clips[lead], shown[longer]]),
            'goal': goal,
        }

    def _read_goals(self, part: Stretch) -> FloatArray:
        assert self.embedder
        store = self._store
        goals = [store.embedding(self.embedder, name)[end] for name, end in part.goals]
        if self.known is not None:
            goals += [self.known[number] for number in part.named]
        return np.stack(goals)
