"""What several unit tests need, and what none may: a simulator cannot even be imported here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from recorded_runs import write_robot


@pytest.fixture(autouse=True)
def no_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """For this process; a test that starts another one says itself what that one may do."""
    monkeypatch.setitem(sys.modules, 'mujoco', None)


@pytest.fixture
def robot(tmp_path: Path) -> Callable[..., Path]:
    """Writes an embodiment file of a tiny robot; `camera` changes its camera."""
    return lambda **changes: write_robot(tmp_path / 'tiny.yaml', **changes)
