"""What a world model is worth: its open-loop error, and a probe that reads decoded goals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.system.arrays import Image
from genrl_ros.world_model import latents
from genrl_ros.world_model.images import pixels
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OpenLoop:
    """Squared error of images, summed over channels and pixels, mean over steps and windows.

    Attributes:
        predicted: of predictions from actions alone.
        repeated: of repeating the last seen frame.
        reconstructed: of encoding and decoding the true frame, the least that is possible.
        windows: number of windows.
    """

    predicted: float
    repeated: float
    reconstructed: float
    windows: int

    @property
    def ratio(self) -> float:
        """How many times better predicting is than repeating."""
        return self.repeated / self.predicted


@torch.no_grad()
def predict(model: MFWM, image: Tensor, action: Tensor, context: int) -> Tensor:
    """Images `(B, T, 3, 64, 64)`: reconstructed while `t < context`, then predicted from actions.

    Args:
        model: the world model.
        image: `(B, T, 3, 64, 64)` uint8, of which the first `context` are looked at.
        action: `(B, T, A)`.
        context: frames seen.
    """
    device = next(model.parameters()).device
    image, action = image.to(device), action.to(device)
    seen = image[:, :context]
    stoch = latents.mode(latents.log_probs(model.tokenizer.encode(seen)))
    first = torch.zeros(seen.shape[:2], device=device)
    first[:, 0] = 1
    deter = model.deter_along(stoch, action[:, :context], first)
    state = State(stoch[:, -1], deter[:, -1])
    steps = [stoch]
    for t in range(context, action.shape[1]):
        state = model.sequence.step(state, action[:, t], mode=True)
        steps.append(state.stoch[:, None])
    return model.tokenizer.decode(torch.cat(steps, 1)).cpu()


def moving_windows(
    store: EpisodeStore, ids: list[str], objects: slice, length: int, context: int, limit: int
) -> list[tuple[str, int]]:
    """Windows `(episode, start)` in which an object moves after the context, one an episode.

    There are none where the recorded positions are of no objects, as of a robot without joints.
    """
    found = []
    for episode in ids:
        state = np.asarray(store.state(episode))[:, objects]
        last = len(state) - length
        if last < 0 or state.shape[1] == 0:
            continue
        starts = np.arange(last + 1)
        moved = np.abs(state[starts + length - 1] - state[starts + context - 1]).max(-1)
        if moved.max() > 0.1:
            found.append((episode, int(moved.argmax())))
        if len(found) == limit:
            break
    return found


def open_loop(
    model: MFWM,
    store: EpisodeStore,
    windows: list[tuple[str, int]],
    context: int = 8,
    horizon: int = 16,
) -> OpenLoop:
    """Error of predicting `horizon` frames after `context` frames, on the given windows.

    Raises:
        ValueError: if there are no windows.
    """
    if not windows:
        raise ValueError('no held-out window in which an object moves: collect more episodes')
    image, action = batch(store, windows, context + horizon)
    true = pixels(image[:, context:])
    guess = predict(model, image, action, context)[:, context:]
    with torch.no_grad():
        again = model.tokenizer.decode(
            latents.mode(latents.log_probs(model.tokenizer.encode(image[:, context:])))
        )
    still = pixels(image[:, context - 1 : context])
    return OpenLoop(
        predicted=_error(guess, true),
        repeated=_error(still, true),
        reconstructed=_error(again, true),
        windows=len(windows),
    )


def batch(
    store: EpisodeStore, windows: list[tuple[str, int]], length: int
) -> tuple[Tensor, Tensor]:
    """Images `(B, T, 3, 64, 64)` uint8 and actions `(B, T, A)` of windows."""
    image = np.stack([store.image(e)[t : t + length] for e, t in windows])
    action = np.stack([store.action(e)[t : t + length] for e, t in windows])
    return torch.from_numpy(image), torch.from_numpy(action)


def _error(guess: Tensor, true: Tensor) -> float:
    return (guess - true).square().sum((-3, -2, -1)).mean().item()


@dataclass(frozen=True)
class Probe:
    """Linear reading of simulator positions from latents, fitted by ridge regression."""

    weight: Values
    bias: Values

    def read(self, model: MFWM, frames: Image) -> Values:
        """Positions `(T, Q)` that frames `(T, 3, 64, 64)` uint8 show."""
        return _features(model, frames) @ self.weight + self.bias


def fit_probe(model: MFWM, store: EpisodeStore, ids: list[str], ridge: float = 10.0) -> Probe:
    """Fit a probe on recorded frames and the simulator positions recorded with them."""
    x = np.concatenate([_features(model, store.image(e)) for e in ids])
    y = np.concatenate([np.asarray(store.state(e), np.float64) for e in ids])
    mean_x, mean_y = x.mean(0), y.mean(0)
    x = x - mean_x
    weight = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ (y - mean_y))
    return Probe(weight, mean_y - mean_x @ weight)


@torch.no_grad()
def _features(model: MFWM, frames: Image) -> Values:
    logits = model.tokenizer.encode(torch.from_numpy(np.array(frames)))
    return latents.log_probs(logits).exp().flatten(1).double().numpy()
