"""Cuts the frames of a robot into runs that were driven without a gap, and those into episodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from genrl_ros.data.bags.joint_track import Vector
from genrl_ros.data.bags.recipe import Recipe
from genrl_ros.data.bags.report import Report
from genrl_ros.data.bags.synchronise import Frame
from genrl_ros.system.arrays import FloatArray, Image

FULL_ACTION = 1.0 + 1e-6


@dataclass(frozen=True)
class Cut:
    """What an episode is made of, in agent steps.

    Attributes:
        image: `(T, 3, N, N)` uint8.
        action: `(T, A)` float32 in [-1, 1]; `action[t]` led to `image[t]`, `action[0]` is zero.
        state: `(T, J)` float32, positions of the joints.
    """

    image: Image
    action: FloatArray
    state: FloatArray


@dataclass
class EpisodeCutter:
    """Takes frames, and gives an episode whenever one is complete; it never holds much more.

    A run begins with the image that was answered by the first command, and holds on as long as
    each frame follows the one before and has a command and joint positions. Where agent steps
    begin is found in the frames of the first episode. Episodes of a run share a frame.

    Attributes:
        recipe: how commands become actions.
        min_steps: agent steps that an episode must have.
        report: is told what is left out.
    """

    recipe: Recipe
    min_steps: int
    report: Report
    _run: list[Frame] = field(default_factory=list)
    _is_cut: bool = False
    """Whether the run so far follows on an episode, with which it shares its first frame."""

    def add(self, frame: Frame) -> Iterator[Cut]:
        """A frame follows; gives the episodes that it ends."""
        if frame.begins:
            is_driven = self._is_cut or len(self._run) > 1
            self.report.gaps += frame.begins == 'gap' and is_driven
            yield from self.finish()
        if frame.state is None and len(self.recipe.joint_reach):
            yield from self.finish()
            self._count_stateless(frame)
            return
        if frame.command is None or self._lacks_reference:
            yield from self.finish()
        self._run.append(frame)
        repeat, longest = self.recipe.frames_per_step, self.recipe.episode_steps
        if len(self._run) > longest * repeat + (0 if self._is_cut else repeat - 1):
            yield from self._cut(longest)

    def finish(self) -> Iterator[Cut]:
        """The run ends; gives its last episode."""
        if len(self._run) > 1:
            yield from self._cut(0)
            self.report.ends += len(self._run) - 1
        elif self._run and not self._is_cut:
            (frame,) = self._run
            if frame.command is None:
                self.report.undriven[frame.undriven] += 1
            else:
                self.report.short_runs += 1
                self.report.short += 1
        self._run, self._is_cut = [], False

    @property
    def _lacks_reference(self) -> bool:
        """Whether the next command cannot be told as an action, which says how far it goes."""
        begins = len(self._run) == 1 and self._run[0].command is None
        return begins and bool(self.recipe.is_relative.any())

    def _count_stateless(self, frame: Frame) -> None:
        self.report.stateless += 1
        if frame.state_off_ns is not None:
            off_s, best_s = frame.state_off_ns * 1e-9, self.report.nearest_s
            self.report.nearest_s = off_s if best_s is None else min(off_s, best_s)

    def _cut(self, steps: int) -> Iterator[Cut]:
        """Make an episode of so many agent steps, of all that there are if 0; keeps the rest."""
        repeat = self.recipe.frames_per_step
        actions, beyond = self._actions()
        phase = 0 if self._is_cut else best_phase(actions, repeat)
        grouped = _grouped(actions, phase, repeat)
        grouped = grouped[:steps] if steps else grouped
        last = phase + len(grouped) * repeat
        used, self._run = self._run[phase : last + 1 : repeat], self._run[last:]
        images = last - phase + (not self._is_cut)
        if len(grouped) < max(1, self.min_steps):
            self.report.short_runs += 1
            self.report.short += images
        else:
            self.report.images += images
            self.report.commands += last - phase
            self.report.beyond += int(beyond[phase:last].sum())
            yield self._episode(used, grouped)
        self.report.ends += phase
        self._is_cut = True

    def _actions(self) -> tuple[Vector, npt.NDArray[np.bool_]]:
        """Actions `(T, A)` of the run, clipped, and whether they had to be."""
        frames = self._run[1:]
        commands = [frame.command for frame in frames if frame.command is not None]
        assert len(commands) == len(frames)
        first = self._run[0].command
        before = [commands[0] if first is None else first, *commands[:-1]]
        pairs = zip(commands, before, strict=True)
        actions = np.stack([self.recipe.to_action(*pair) for pair in pairs])
        beyond: npt.NDArray[np.bool_] = np.any(np.abs(actions) > FULL_ACTION, axis=1)
        return np.clip(actions, -1.0, 1.0), beyond

    def _episode(self, frames: Sequence[Frame], grouped: Vector) -> Cut:
        led = np.where(self.recipe.takes_last, grouped[:, -1], grouped.mean(axis=1))
        unknown = np.zeros(0)
        states = [unknown if frame.state is None else frame.state for frame in frames]
        return Cut(
            image=np.stack([frame.image for frame in frames]),
            action=np.concatenate([np.zeros((1, led.shape[1])), led]).astype(np.float32),
            state=np.stack(states).astype(np.float32),
        )


def best_phase(actions: Vector, repeat: int) -> int:
    """Where agent steps begin, so that an action changes as little as can be within one.

    Args:
        actions: `(T, A)`, one a control step.
        repeat: control steps of an agent step.
    """
    changes = []
    for phase in range(min(repeat, len(actions))):
        grouped = _grouped(actions, phase, repeat)
        change = np.abs(grouped - grouped[:, :1]).sum()
        changes.append(change / len(grouped) if len(grouped) else np.inf)
    return int(np.argmin(changes))


def _grouped(actions: Vector, phase: int, repeat: int) -> Vector:
    """Actions `(T, A)` by agent steps `(S, repeat, A)`."""
    steps = (len(actions) - phase) // repeat
    return actions[phase : phase + steps * repeat].reshape(steps, repeat, actions.shape[1])
