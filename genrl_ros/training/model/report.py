"""Scores and pictures of a finished world model: what its card and the README quote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genrl_ros.behavior.goal import make_goal
from genrl_ros.data.pictures import Strip, Strips, grid, write_png
from genrl_ros.data.store.episode_store import CLIP, EpisodeStore
from genrl_ros.domains.base import Domain, Task
from genrl_ros.training.model.measure import (
    Probe,
    batch,
    fit_probe,
    moving_windows,
    open_loop,
    predict,
)
from genrl_ros.vlm.base import VideoTextEmbedder
from genrl_ros.world_model.images import to_uint8
from genrl_ros.world_model.mfwm import MFWM

CONTEXT, HORIZON = 8, 16
PROBE_EPISODES = 300
GOAL_SEEDS = 16


def report_world_model(
    model: MFWM, store: EpisodeStore, objects: slice, run: Path
) -> dict[str, Any]:
    """Open-loop error on held-out episodes, with `open_loop.png`.

    Args:
        model: the world model.
        store: the dataset.
        objects: where in the recorded positions the movable things are.
        run: folder of the picture.
    """
    windows = moving_windows(store, store.held_out, objects, CONTEXT + HORIZON, CONTEXT, limit=64)
    result = open_loop(model, store, windows, CONTEXT, HORIZON)
    strips = open_loop_strips(model, store, windows[:4], CONTEXT, HORIZON)
    write_png(run / 'open_loop.png', grid(strips))
    return {
        'windows': result.windows,
        'predicted': round(result.predicted, 2),
        'repeated': round(result.repeated, 2),
        'reconstructed': round(result.reconstructed, 2),
        'ratio': round(result.ratio, 2),
    }


def open_loop_picture(model: MFWM, store: EpisodeStore, objects: slice) -> Strips | None:
    """What draws the model's predictions for held-out windows; none if no object moves in any."""
    windows = moving_windows(store, store.held_out, objects, CONTEXT + HORIZON, CONTEXT, limit=4)
    if not windows:
        return None

    return lambda: open_loop_strips(model, store, windows, CONTEXT, HORIZON)


def open_loop_strips(
    model: MFWM, store: EpisodeStore, windows: list[tuple[str, int]], context: int, horizon: int
) -> list[Strip]:
    """For each window: every other frame, and reconstructions that turn into predictions."""
    image, action = batch(store, windows, context + horizon)
    guess = to_uint8(predict(model, image, action, context))
    strips = []
    for (episode, start), true, predicted in zip(windows, image, guess, strict=True):
        where = f'episode {episode}, held out, every other frame from {start} on'
        after = f'the model: reconstructed up to frame {start + context - 1}, then predicted'
        strips += [Strip(where, true[::2].numpy()), Strip(after, predicted[::2].numpy())]
    return strips


def goal_strips(
    model: MFWM,
    store: EpisodeStore,
    tasks: Sequence[Task],
    objects: slice,
    embedder: VideoTextEmbedder,
) -> Strips:
    """What draws the model's goal of each task, and then `video_goal_strips`."""

    def strips() -> list[Strip]:
        drawn = video_goal_strips(model, store, objects, embedder)
        if tasks:
            prompts = [task.prompt for task in tasks]
            embeddings = embedder.embed_text(prompts)
            goals = [make_goal(model, each)[::2] for each in embeddings]
            drawn = list(map(Strip, prompts, goals)) + drawn
        return drawn

    return strips


def video_goal_strips(
    model: MFWM, store: EpisodeStore, objects: slice, embedder: VideoTextEmbedder
) -> list[Strip]:
    """Held-out clips of eight frames, and below each the goal that the model makes of it.

    Of an embodiment without objects that could move, clips are taken from the middle of episodes.
    """
    held_out = [name for name in store.held_out if store.length(name) >= CLIP]
    windows = moving_windows(store, held_out, objects, CLIP, 1, limit=4) or [
        (name, (store.length(name) - CLIP) // 2) for name in held_out[:4]
    ]
    strips = []
    for episode, start in windows:
        clip = np.array(store.image(episode)[start : start + CLIP])
        goal = make_goal(model, embedder.embed_video(clip[None])[0], steps=CLIP)
        strips += [
            Strip(f'a clip of episode {episode}, held out, from frame {start} on', clip),
            Strip('the goal that it is understood as', goal),
        ]
    return strips


def report_goals(
    model: MFWM,
    store: EpisodeStore,
    domain: Domain,
    embedder: VideoTextEmbedder,
    run: Path,
) -> dict[str, Any]:
    """Read from the decoded goal of each task what the scene does, with `goals.png`.

    Returns:
        For each task its first reading that episodes hold, at the goal's first and last frame,
        mean over a few goals.
    """
    probe = fit_probe(model, store, store.episode_ids[:PROBE_EPISODES])
    strips, readings = [], {}
    places = {reading.name: reading.state for reading in domain.readings}
    for task in domain.tasks:
        embedding = embedder.embed_text([task.prompt])[0]
        frames = [make_goal(model, embedding, seed) for seed in range(GOAL_SEEDS)]
        strips.append(Strip(task.prompt, frames[0][::2]))
        recorded = [place for name in task.readings if (place := places[name]) is not None]
        if recorded:
            readings[task.name] = _reading(probe, model, frames, recorded[0])
    write_png(run / 'goals.png', grid(strips))
    return readings


def _reading(
    probe: Probe, model: MFWM, goals: list[np.ndarray[Any, Any]], place: int
) -> dict[str, float]:
    values = np.mean([probe.read(model, frames)[:, place] for frames in goals], 0)
    return {'first': round(float(values[0]), 3), 'last': round(float(values[-1]), 3)}
