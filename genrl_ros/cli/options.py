"""Arguments that several commands have, and checks of them."""

from __future__ import annotations

from typing import Annotated, Any

import tyro

DomainName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='DOMAIN')]
Robot = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='ROBOT')]


def at_least(config: Any, least: int, *names: str) -> None:
    """Check that fields of a command's arguments are not below `least`.

    Raises:
        ValueError: naming the option.
    """
    for name in names:
        if getattr(config, name) < least:
            option = f'--{name.replace("_", "-")}'
            raise ValueError(f'{option} must be at least {least}, got {getattr(config, name)}')
