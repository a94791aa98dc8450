"""The robot that a name stands for: an embodiment file, a shipped one, or a simulated domain's."""

from __future__ import annotations

from genrl_ros.domains import registry
from genrl_ros.serving.robot.embodiment import Embodiment
from genrl_ros.serving.robot.embodiment_file import (
    find_embodiment,
    is_path,
    load_embodiment,
    shipped_embodiments,
)
from genrl_ros.serving.robot.simulated import simulated_robot


def absolute_name(name: str) -> str:
    """The same name for a node, which may run in another folder."""
    return str(find_embodiment(name)) if is_path(name) else name


def load_robot(name: str) -> Embodiment:
    """The embodiment of a robot.

    Args:
        name: path of a file, or the name of a shipped one or of a domain.

    Raises:
        FileNotFoundError: if there is none.
        EmbodimentError: with everything that is wrong with it, if anything is.
    """
    domain = registry.find(name)
    if domain is not None and name not in shipped_embodiments():
        return simulated_robot(domain.robot, domain.episode_steps)
    return load_embodiment(find_embodiment(name))
