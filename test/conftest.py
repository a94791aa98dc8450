"""Gives each test the marker of its folder (its tier), and each its own ROS domain."""

from __future__ import annotations

import importlib.util
import itertools
import os
from pathlib import Path

import pytest

TIERS = ('unit', 'sim', 'ros', 'launch')
ROOT = Path(__file__).parent
DOMAINS = 101  # ROS domains 1 to 101 keep clear of the ports that Linux hands out itself

_next_domain = itertools.count(os.getpid())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    has_launch = importlib.util.find_spec('launch_ros') is not None
    for item in items:
        tier = item.path.relative_to(ROOT).parts[0]
        if tier in TIERS:
            item.add_marker(getattr(pytest.mark, tier))
        if tier == 'launch' and not has_launch:
            item.add_marker(
                pytest.mark.skip(reason='launch_ros is not installed: it needs a ROS installation')
            )


@pytest.fixture(autouse=True)
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> int:
    """A ROS domain of this test's own, on the loopback; child processes inherit it."""
    domain = next(_next_domain) % DOMAINS + 1
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain))
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    return domain
