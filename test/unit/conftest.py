"""What several unit tests need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from recorded_runs import write_robot


@pytest.fixture
def robot(tmp_path: Path) -> Callable[..., Path]:
    """Writes an embodiment file of a tiny robot; `camera` changes its camera."""
    return lambda **changes: write_robot(tmp_path / 'tiny.yaml', **changes)
