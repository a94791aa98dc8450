"""What this machine's processor can do."""

from __future__ import annotations

from pathlib import Path

from genrl_ros.config import Precision


def description() -> str:
    """What Linux says of it; '' elsewhere."""
    path = Path('/proc/cpuinfo')
    return path.read_text() if path.exists() else ''


def fastest_precision() -> Precision:
    """bf16 where matrices are multiplied in it (AMX): several times faster; float32 elsewhere."""
    return 'bf16' if 'amx_bf16' in description() else 'float32'
