"""A process of a toy training, for torchrun: the second one is killed once, in the middle."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from toy_training import Toy, stop_after

from genrl_ros.world_model.ranks import joined


def main(data: Path, run: Path, killed: Path) -> None:
    """Train; `killed` remembers that it happened already."""
    with joined('cpu') as ranks:
        now = stop_after(6)

        def should_stop() -> bool:
            if ranks.rank == 1 and not killed.exists() and now():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return False

        Toy(data, run).train(ranks, should_stop=should_stop)


if __name__ == '__main__':
    main(*map(Path, sys.argv[1:]))
