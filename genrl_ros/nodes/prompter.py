"""What prompt_node does with a prompt, without ROS: check, embed, ground, decode the goal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

MAX_PROMPT = 1000
_JOINERS = ('\u200c', '\u200d')


class PromptError(ValueError):
    """A prompt that is refused; the text says why."""


@dataclass(frozen=True)
class GroundedGoal:
    """A prompt in the terms of the embedder and of the world model.

    Attributes:
        embedding: `(D,)` float32 of unit length.
        tokens: `(T, S)` uint8, the latent goal.
        classes: classes of each categorical.
        frames: `(T, 3, N, N)` uint8, the goal decoded.
        score: cosine to the nearest known concept, in [-1, 1].
        concept: that concept, in words.
        margin: how far the next concept is behind.
        warning: why the prompt may not mean what the user thinks; '' if it is clear.
        known: whether it resembles anything that the embedder knows.
    """

    embedding: npt.NDArray[np.float32]
    tokens: npt.NDArray[np.uint8]
    classes: int
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
    """

    mfwm_sha256: str

    def ground_text(self, prompt: str) -> GroundedGoal:
        """The goal of a sentence."""
        ...

    def ground_video(self, frames: npt.NDArray[np.uint8]) -> GroundedGoal:
        """The goal of a video `(T, 3, N, N)` uint8."""
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
        self.mfwm_sha256 = card.sha256

    def ground_text(self, prompt: str) -> GroundedGoal:
        """The goal of a sentence."""
        return self._ground(self._embedder.embed_text([prompt])[0])

    def ground_video(self, frames: npt.NDArray[np.uint8]) -> GroundedGoal:
        """The goal of a video `(T, 3, N, N)` uint8."""
        from genrl_ros.data.video import sample_frames

        clip = sample_frames(frames, self._embedder.n_frames)
        return self._ground(self._embedder.embed_video(clip[None])[0])

    def _ground(self, embedding: npt.NDArray[np.float32]) -> GroundedGoal:
        from genrl_ros.behavior.goal import make_goal
        from genrl_ros.vlm.grounding import ground

        goal = make_goal(self._model, embedding)
        grounding = ground(self._embedder, embedding)
        return GroundedGoal(
            embedding=goal.embedding,
            tokens=goal.tokens,
            classes=self._model.config.classes,
            frames=goal.frames,
            score=grounding.score,
            concept=grounding.concept,
            margin=grounding.margin,
            warning=grounding.warning,
            known=grounding.known,
        )


def check_prompt(prompt: str) -> str:
    """The prompt without white space around it.

    Raises:
        PromptError: if it is empty, too long or has characters that are not to be read.
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
    return prompt


def check_video_path(path: str, allowed: Sequence[Path]) -> Path:
    """The path, resolved.

    Raises:
        PromptError: if it leads out of the allowed folders.
    """
    if len(path) > 4096 or not path.isprintable():
        raise PromptError('video_path is not the name of a file')
    try:
        resolved = Path(path).expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise PromptError(f'video_path is not the name of a file: {error}') from None
    if not any(resolved.is_relative_to(folder) for folder in allowed):
        folders = ', '.join(str(folder) for folder in allowed)
        raise PromptError(
            f'{resolved} is outside the folders that videos are taken from: {folders} '
            '(parameter allowed_folders of prompt_node)'
        )
    return resolved
