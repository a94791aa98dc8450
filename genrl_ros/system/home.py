"""Where nodes put what they make, whatever folder they were started in."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = 'GENRL_HOME'
DEFAULT = '~/.local/share/genrl'


def home() -> Path:
    """The folder `$GENRL_HOME`, or `~/.local/share/genrl` where that is not set.

    Raises:
        ValueError: if the variable does not hold an absolute path.
    """
    path = Path(os.environ.get(VARIABLE) or DEFAULT).expanduser()
    if not path.is_absolute():
        raise ValueError(f'{VARIABLE} is {str(path)!r}; it must be an absolute path')
    return path.resolve()


def below_home(name: str) -> Path:
    """The place that a name stands for: an absolute path, `~/...`, or else one below `home()`.

    Raises:
        ValueError: if it is relative, and the variable does not hold an absolute path.
    """
    path = Path(name).expanduser()
    return (path if path.is_absolute() else home() / path).resolve()
