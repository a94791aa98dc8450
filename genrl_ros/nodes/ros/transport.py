"""How a process talks to others of the same machine."""

from __future__ import annotations

import os
from pathlib import Path

from genrl_ros.system.share import share_path

PROFILES = 'FASTDDS_DEFAULT_PROFILES_FILE'
RANGE = 'ROS_AUTOMATIC_DISCOVERY_RANGE'


def share_no_memory() -> None:
    """Let this process talk over UDP alone; to be called before it joins the graph.

    Fast DDS passes messages through shared memory, under locks. Whoever writes to a process that
    is frozen while it holds one waits until Fast DDS takes it for dead: for a second and more.

    On the loopback (discovery range LOCALHOST) the ROS middleware adds shared memory whatever
    Fast DDS is told, so there the range is given by a profile instead. A profile that the user
    has chosen is left alone.
    """
    chosen = os.environ.get(PROFILES, '')
    if chosen and not _is_ours(Path(chosen)):
        return
    if os.environ.get(RANGE) == 'LOCALHOST':
        os.environ[PROFILES] = str(share_path('config', 'fastdds_gate.xml'))
        os.environ[RANGE] = 'SYSTEM_DEFAULT'
    else:
        os.environ.pop(PROFILES, None)
        os.environ['FASTDDS_BUILTIN_TRANSPORTS'] = 'UDPv4'


def _is_ours(profile: Path) -> bool:
    """Whether a profile is one of this package's, from whichever of its copies."""
    ours = [share_path('config', name) for name in ('fastdds.xml', 'fastdds_loopback.xml')]
    return profile.is_file() and profile.read_bytes() in [path.read_bytes() for path in ours]
