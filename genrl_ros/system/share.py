"""Finds what is shipped beside the code: models, parameter files, scenes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PACKAGE = 'genrl_ros'


def folders_in(variable: str) -> list[Path]:
    """The folders that an environment variable such as `AMENT_PREFIX_PATH` lists."""
    return [Path(part) for part in os.environ.get(variable, '').split(os.pathsep) if part]


def _roots() -> Iterator[Path]:
    """Where the shared folders may be, the likeliest first."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent
    if (checkout / 'package.xml').is_file():
        yield checkout
    if len(package.parents) > 3:  # PREFIX/lib/pythonX.Y/site-packages/genrl_ros
        yield package.parents[3] / 'share' / PACKAGE
    for prefix in folders_in('AMENT_PREFIX_PATH'):
        yield prefix / 'share' / PACKAGE


def share_path(*parts: str) -> Path:
    """A shipped file or folder, such as `share_path('models', 'kitchen')`.

    It is looked for in the source checkout that this file is part of, then in `share/genrl_ros`
    of the prefix that it is installed in, then in those of `AMENT_PREFIX_PATH`.

    Raises:
        FileNotFoundError: if it is in none of them.
    """
    roots = list(_roots())
    for root in roots:
        path = root.joinpath(*parts)
        if path.exists():
            return path
    tried = ', '.join(str(root) for root in roots)
    raise FileNotFoundError(
        f'{os.path.join(*parts)} is not among the shared files of {PACKAGE}. Looked in: {tried}. '
        f'Install the package anew (`make setup`, or `pip install .` in the checkout).'
    )


def shipped_model(domain: str) -> Path:
    """The folder of the world model that ships for a domain.

    Raises:
        FileNotFoundError: naming those that do, if there is none.
    """
    models = share_path('models')
    shipped = {file.parent.name: file.parent for file in models.glob('*/mfwm.json')}
    if domain not in shipped:
        raise FileNotFoundError(
            f'no world model ships for {domain!r}, only for {", ".join(sorted(shipped))}: name '
            'yours with --model'
        )
    return shipped[domain]
