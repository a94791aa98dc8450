"""Where a model folder named in a parameter is."""

from __future__ import annotations

from pathlib import Path

from genrl_ros.nodes.ros.params import ParameterError
from genrl_ros.system.share import shipped_model

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
