"""Short films of an expert at work, from any side: prompts without words."""

from __future__ import annotations

import numpy as np

from genrl_ros.domains.environment import Environment
from genrl_ros.domains.kitchen import DOMAIN
from genrl_ros.domains.kitchen.experts import Expert
from genrl_ros.domains.kitchen.physics import Camera, Kitchen
from genrl_ros.domains.kitchen.tasks import logic
from genrl_ros.system.arrays import Image

FRAMES = 8
"""Length of a film."""
MOST_STEPS = 60
"""Agent steps within which an expert has done its work."""


def film(
    task: str, distance_m: float, azimuth_deg: float, elevation_deg: float, seed: int
) -> Image:
    """The frames in which an expert moves a task's element most, one an agent step.

    Args:
        task: what is done.
        distance_m: of the camera from the scene.
        azimuth_deg: direction that it looks from.
        elevation_deg: negative looks down.
        seed: of the episode.

    Returns:
        `(8, 3, 64, 64)` uint8.

    Raises:
        ValueError: if there is no such task.
    """
    element = logic(task).element
    camera = Camera(distance=distance_m, azimuth=azimuth_deg, elevation=elevation_deg)
    kitchen = Kitchen(camera)
    try:
        expert = Expert(kitchen, element, rng=np.random.default_rng(seed))
        environment = Environment(DOMAIN, kitchen)
        images, distances = [environment.reset(seed)], [kitchen.distance(element)]
        while len(images) < MOST_STEPS and not expert.done:
            images.append(environment.step(expert.act()).image)
            distances.append(kitchen.distance(element))
    finally:
        kitchen.close()
    progress = np.subtract(distances[: 1 - FRAMES], distances[FRAMES - 1 :])
    first = int(progress.argmax())
    return np.stack(images[first : first + FRAMES])
