"""Manners of processes that work for another one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def die_with_parent(signum: int = signal.SIGKILL) -> None:
    """Ask Linux for a signal to this process when its parent ends, however it ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signum)


def age_s() -> float:
    """Seconds since this process began, imports included; 0 where Linux does not tell."""
    try:
        fields = Path('/proc/self/stat').read_text().rpartition(')')[2].split()
    except OSError:
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf('SC_CLK_TCK')


def yield_to_others(niceness: int) -> None:
    """Lower this process's priority, so that others do not feel it.

    Linux shares the processor between sessions first (autogroups) and only then by niceness within
    each, so that a process that leads a session of its own has to be nice in both ways.
    """
    os.nice(niceness)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            Path('/proc/self/autogroup').write_text(str(niceness))
