"""Where a model folder named in a parameter is, and whether a goal is of the same model."""

from __future__ import annotations

from pathlib import Path

from genrl_ros.nodes.ros.params import ParameterError
from genrl_ros.system.files import sha256
from genrl_ros.system.share import shipped_model

WEIGHTS = 'mfwm.safetensors'
_PATHS = ('/', './', '../', '~')


def find(folder: str) -> Path:
    """The folder of a model: the name of a shipped one, or a path.

    A path is absolute or begins with `./`, `../` or `~`, so that no folder that lies about where a
    node is started takes the place of a shipped model.

    Raises:
        ParameterError: if there is none.
    """
    if folder.startswith(_PATHS):
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise ParameterError(f'parameter model is {folder!r}: there is no such folder')
        return path.resolve()
    try:
        return shipped_model(folder)
    except FileNotFoundError as error:
        raise ParameterError(
            f'parameter model is {folder!r}: {error} A folder of your own begins with / or ./'
        ) from None


def identity(folder: Path) -> str:
    """The sha256 of a folder's world model, by which goals name it.

    Raises:
        OSError: if there is none.
    """
    return sha256(folder / WEIGHTS)


def difference(node: str, folder: Path, ours: str, theirs: str) -> str:
    """Why a goal of the world model `theirs` is not for a node that uses `ours`; '' if it is."""
    if theirs == ours:
        return ''
    return (
        f'it was grounded with the world model {theirs[:12]!r}, but {folder} holds {ours[:12]!r}: '
        f'start prompt_node and {node} with the same model'
    )
