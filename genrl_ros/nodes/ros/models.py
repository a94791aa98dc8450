"""Where a model folder named in a parameter is."""

from pathlib import Path

from genrl_ros.nodes.ros.params import ParameterError
from genrl_ros.system.share import share_path


def find(folder: str) -> Path:
    """A folder as named from the current directory, or else among the shipped files.

    Raises:
        ParameterError: if it is in neither place.
    """
    path = Path(folder).expanduser()
    if path.is_dir():
        return path.resolve()
    if not path.is_absolute():
        try:
            return share_path(*path.parts)
        except FileNotFoundError as error:
            raise ParameterError(f'parameter model is {folder!r}: {error}') from None
    raise ParameterError(f'parameter model is {folder!r}: there is no such folder')
