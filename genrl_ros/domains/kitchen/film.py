"""Short films of an expert at work, from any side: prompts without words."""

from __future__ import annotations

import numpy as np

from genrl_ros.domains.kitchen.experts import Expert
from genrl_ros.domains.kitchen.physics import Camera, Kitchen
from genrl_ros.system.arrays import Image

MOST_STEPS = 60
"""Agent steps within which an expert has done its work."""


def film(element: str, camera: Camera, seed: int, frames: int = 8) -> Image:
    """The frames in which an expert moves an element most, one an agent step.

    Args:
        element: what is moved.
        camera: where it is seen from.
        seed: of the episode.
        frames: length T of the film.

    Returns:
        `(T, 3, 64, 64)` uint8.

    Raises:
        ValueError: if no expert for that element exists.
    """
    kitchen = Kitchen(camera)
    try:
        expert = Expert(kitchen, element, rng=np.random.default_rng(seed))
        distances = [kitchen.reset(seed).elements[element].distance]
        images = [kitchen.render()]
        while len(images) < MOST_STEPS and not expert.done:
            distances.append(kitchen.step(expert.act()).elements[element].distance)
            images.append(kitchen.render())
    finally:
        kitchen.close()
    progress = np.subtract(distances[: 1 - frames], distances[frames - 1 :])
    first = int(progress.argmax())
    return np.stack(images[first : first + frames])
