"""Keeps a graph of ours apart from all others: on the loopback, in a ROS domain that is free."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Iterator, Mapping

from genrl_ros.system.environment import LAST_ROS_DOMAIN, ros_domain
from genrl_ros.system.share import share_path

ROS_DOMAIN_IDS = range(1, 102)
"""ROS domains whose ports keep clear of those that Linux hands out itself."""
_PORT_BASE, _PORTS_A_DOMAIN = 7400, 250
_PROBED_PORTS = (0, 1, 10, 11, 12, 13)  # discovery, then the first two participants


@contextlib.contextmanager
def private_domain(domain: int | None = None) -> Iterator[Mapping[str, str]]:
    """Environment variables for a graph of its own; the domain stays taken while the block runs.

    Args:
        domain: a ROS domain to use, free or not; without one, `ROS_DOMAIN_ID` or else a free one.

    Raises:
        OSError: if no domain is free.
        ValueError: if `ROS_DOMAIN_ID` is no ROS domain.
    """
    chosen = domain if domain is not None else ros_domain()
    taken: socket.socket | None = None
    if chosen is None:
        chosen, taken = _take_free_domain()
    profile = os.environ.get('FASTDDS_DEFAULT_PROFILES_FILE') or str(
        share_path('config', 'fastdds_loopback.xml')
    )
    try:
        yield {
            'ROS_DOMAIN_ID': str(chosen),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'FASTDDS_DEFAULT_PROFILES_FILE': profile,
        }
    finally:
        if taken is not None:
            taken.close()


def check_ros_domain(domain: int, name: str) -> None:
    """Check that there is such a ROS domain.

    Raises:
        ValueError: naming what asked for it.
    """
    if not 0 <= domain <= LAST_ROS_DOMAIN:
        raise ValueError(f'{name} must be in [0, {LAST_ROS_DOMAIN}], got {domain}')


def _take_free_domain() -> tuple[int, socket.socket]:
    for domain in random.sample(ROS_DOMAIN_IDS, len(ROS_DOMAIN_IDS)):
        taken = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # An abstract name: no file, and free again when this process ends, however it ends.
            taken.bind(f'\0genrl_ros_domain_{domain}')
            if _is_silent(domain):
                return domain, taken
        except OSError:
            pass
        taken.close()
    raise OSError('every ROS domain from 1 to 101 is in use on this machine; set ROS_DOMAIN_ID')


def _is_silent(domain: int) -> bool:
    """Whether no DDS participant of this machine uses the ports of a domain."""
    for offset in _PROBED_PORTS:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', _PORT_BASE + _PORTS_A_DOMAIN * domain + offset))
            except OSError:
                return False
    return True
