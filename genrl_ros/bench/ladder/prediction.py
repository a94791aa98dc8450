"""Rung 1: what the world model predicts, what its states tell, and where it is surprised."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains.base import Domain
from genrl_ros.training.model.measure import batch, predict
from genrl_ros.training.rounds.recorded import Recorded
from genrl_ros.world_model import latents
from genrl_ros.world_model.images import pixels
from genrl_ros.world_model.mfwm import MFWM

CONTEXT, HORIZON, WINDOWS = 8, 16, 128
RIDGE = 10.0
EPISODES = 3
"""Held-out episodes of each kind that the surprise is measured on."""


@torch.no_grad()
def open_loop_steps(model: MFWM, store: EpisodeStore, seed: int = 0) -> dict[str, list[float]]:
    """Mean squared error of a pixel, 1 to 16 steps ahead: predicted, and the last frame repeated.

    Pixels are in [-0.5, 0.5]; windows are drawn from held-out episodes.
    """
    rng, ids = np.random.default_rng(seed), store.held_out
    windows = []
    for _ in range(WINDOWS):
        name = ids[rng.integers(len(ids))]
        windows.append((name, int(rng.integers(store.length(name) - CONTEXT - HORIZON + 1))))
    image, action = batch(store, windows, CONTEXT + HORIZON)
    true = pixels(image[:, CONTEXT:])
    guess = predict(model, image, action, CONTEXT)[:, CONTEXT:]
    still = pixels(image[:, CONTEXT - 1 : CONTEXT])
    seen = predict(model, image, action, CONTEXT + HORIZON)[:, CONTEXT:]
    return {
        name: [round(float(each), 5) for each in (frames - true).square().mean((0, 2, 3, 4))]
        for name, frames in (('predicted', guess), ('repeated', still), ('reconstructed', seen))
    }


def probes(domain: Domain, recorded: Recorded, held_out: Recorded) -> dict[str, float]:
    """Share of each reading's variance that a linear probe tells from the model's states."""
    places = {r.name: r.state for r in domain.readings if r.state is not None}
    columns = list(places.values())

    def both(windows: Recorded) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        x = windows.feat(torch.arange(windows.kl.numel())).double().numpy()
        return x, windows.state.reshape(len(x), -1)[:, columns].astype(np.float64)

    (x, y), (x_held_out, y_held_out) = both(recorded), both(held_out)
    mean_x, mean_y = x.mean(0), y.mean(0)
    x = x - mean_x
    weight = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - mean_y))
    residual = y_held_out - mean_y - (x_held_out - mean_x) @ weight
    told = 1 - residual.var(0) / y_held_out.var(0)
    return {name: round(float(each), 3) for name, each in zip(places, told, strict=True)}


@torch.no_grad()
def surprise(model: MFWM, store: EpisodeStore) -> dict[str, float]:
    """KL of posterior and prior in nats along held-out episodes, by what kind they are."""
    by_kind: dict[str, list[float]] = {}
    for name in store.held_out:
        found = by_kind.setdefault(store.kind(name), [])
        if len(found) < EPISODES:
            found.append(_surprise(model, store, name))
    return {kind: round(float(np.mean(each)), 2) for kind, each in sorted(by_kind.items())}


def _surprise(model: MFWM, store: EpisodeStore, name: str) -> float:
    image = torch.from_numpy(np.array(store.image(name)))
    action = torch.from_numpy(np.array(store.action(name)))[None]
    logq = latents.log_probs(model.tokenizer.encode(image))[None]
    first = torch.zeros(action.shape[:2])
    first[0, 0] = 1
    deter = model.deter_along(latents.mode(logq), action, first)
    return float(latents.kl(logq, model.sequence.prior(deter)).mean())
