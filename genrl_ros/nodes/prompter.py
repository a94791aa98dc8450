"""What prompt_node does with a prompt, without ROS: check, embed, ground, decode the goal."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from genrl_ros.data.video import Video, VideoError, decode_video
from genrl_ros.domains.base import IMAGE_SIZE
from genrl_ros.system.files import open_regular
from genrl_ros.system.home import below_home
from genrl_ros.vlm.grounding import Grounding, ground_sentence
from genrl_ros.vlm.wording import read_wording

MAX_PROMPT = 1000
_JOINERS = ('\u200c', '\u200d')


class PromptError(ValueError):
    """A prompt that is refused; the text says why."""


@dataclass(frozen=True)
class GroundedGoal:
    """A prompt in the terms of the embedder and of the world model.

    Attributes:
        embedding: `(D,)` float32 of unit length.
        frames: `(T, 3, N, N)` uint8, the goal decoded.
        score: cosine to the nearest known concept, in [-1, 1].
        concept: that concept, in words.
        margin: how far the next concept is behind.
        warning: why it is not acted on, or may not mean what the user thinks; '' if it is clear.
        known: whether it may be acted on.
    """

    embedding: npt.NDArray[np.float32]
    frames: npt.NDArray[np.uint8]
    score: float
    concept: str
    margin: float
    warning: str
    known: bool = True


class Prompter(Protocol):
    """Turns prompts into goals.

    Attributes:
        mfwm_sha256: the world model that the goals belong to.
        step_s: seconds from one frame of a goal to the next: an action of the robot.
    """

    mfwm_sha256: str
    step_s: float

    def ground_text(self, prompt: str) -> GroundedGoal:
        """The goal of a sentence."""
        ...

    def ground_video(self, video: Video) -> GroundedGoal:
        """The goal of a video."""
        ...


class ModelPrompter:
    """A world model and the embedder that it is connected to."""

    def __init__(self, folder: Path) -> None:
        """Load both.

        Raises:
            ValueError: if one cannot be loaded, or if they do not belong together.
        """
        import torch

        from genrl_ros.training.behavior.ground import matching_embedder
        from genrl_ros.world_model.checkpoint import load_mfwm

        torch.set_num_threads(1)
        self._model, card = load_mfwm(folder)
        self._embedder = matching_embedder(card)
        self._embedder.embed_text(['a first sentence'])  # which loads what reads them
        self.mfwm_sha256 = card.sha256
        self.step_s, self._robot = card.spec.step_s, card.spec.name

    def ground_text(self, prompt: str) -> GroundedGoal:
        """The goal of a sentence."""
        return self._goal(*ground_sentence(self._embedder, prompt, self._robot))

    def ground_video(self, video: Video) -> GroundedGoal:
        """The goal of a video."""
        from genrl_ros.training.behavior.ground import ground_video

        return self._goal(*ground_video(self._embedder, video, self._robot))

    def _goal(self, embedding: npt.NDArray[np.float32], grounding: Grounding) -> GroundedGoal:
        from genrl_ros.behavior.goal import make_goal

        return GroundedGoal(
            embedding=embedding,
            frames=make_goal(self._model, embedding),
            score=grounding.score,
            concept=grounding.concept,
            margin=grounding.margin,
            warning=grounding.warning,
            known=grounding.known,
        )


def check_prompt(prompt: str) -> str:
    """The prompt without white space around it.

    Raises:
        PromptError: if it is empty, too long, has characters that are not to be read, or asks to
            stop the robot.
    """
    if len(prompt) > MAX_PROMPT:
        raise PromptError(f'the prompt has {len(prompt)} characters; at most {MAX_PROMPT} may be')
    prompt = prompt.strip(' ')
    if not prompt:
        raise PromptError('the prompt is empty; say what to do, such as "open the microwave"')
    for character in prompt:
        if unicodedata.category(character).startswith('C') and character not in _JOINERS:
            raise PromptError(
                f'the prompt has the control character U+{ord(character):04X}; use plain text'
            )
    if read_wording(prompt).halts:
        raise PromptError(
            f'"{prompt}" is no task, and set_task stops nothing: call '
            'command_gate/emergency_stop, or command_gate/pause for a break'
        )
    return prompt


def read_allowed_video(path: str, allowed: Sequence[Path]) -> Video:
    """The video at a path that a request names, in frames as a world model sees them.

    Where the file is, is checked once more when it is open: a name may lead elsewhere by then.

    Raises:
        PromptError: if it leads out of the allowed folders.
        VideoError: if it is no video that can be used.
    """
    resolved = check_video_path(path, allowed)
    try:
        with open_regular(resolved) as file:
            opened = Path(os.readlink(f'/proc/self/fd/{file.fileno()}'))
            _check_inside(opened, allowed)
            return decode_video(file, resolved, IMAGE_SIZE)
    except OSError as error:
        raise VideoError(f'{resolved} cannot be read: {error.strerror}') from None


def check_video_path(path: str, allowed: Sequence[Path]) -> Path:
    """The path, resolved; a relative one is below `home()`.

    Raises:
        PromptError: if it leads out of the allowed folders.
    """
    if len(path) > 4096 or not path.isprintable():
        raise PromptError('video_path is not the name of a file')
    try:
        resolved = below_home(path)
    except (OSError, RuntimeError) as error:
        raise PromptError(f'video_path is not the name of a file: {error}') from None
    _check_inside(resolved, allowed)
    return resolved


def _check_inside(path: Path, allowed: Sequence[Path]) -> None:
    if not any(path.is_relative_to(folder) for folder in allowed):
        folders = ', '.join(str(folder) for folder in allowed)
        raise PromptError(
            f'{path} is outside the folders that videos are taken from: {folders} '
            '(parameter allowed_folders of prompt_node)'
        )
