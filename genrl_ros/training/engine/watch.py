"""What people look at while a stage is trained: pictures, and events for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genrl_ros.data.pictures import grid, write_png
from genrl_ros.training.engine.run import Run


class Watch:
    """Draws and writes events, in the first process alone.

    Args:
        run: where to, and what.
        stage: names pictures and events.
        update: updates done so far; events of later ones, by a process that was killed, are void.

    Raises:
        ValueError: if events are wanted and cannot be written.
    """

    def __init__(self, run: Run, stage: str, update: int) -> None:
        self._folder, self._stage = run.folder / 'pictures', stage
        self._every = run.record.picture_every
        self._strips = run.pictures.get(stage) if run.ranks.first else None
        self._events: Any = None
        if run.record.tensorboard and run.ranks.first:
            try:
                from tensorboardX import SummaryWriter
            except ImportError as error:
                raise ValueError(
                    'TensorBoard events need the package tensorboardX: pip install tensorboardX'
                ) from error
            self._events = SummaryWriter(str(run.folder / 'events' / stage), purge_step=update + 1)

    def report(self, update: int, means: Mapping[str, float], updates_per_s: float) -> None:
        """Write metrics as events."""
        if self._events is not None:
            for name, value in {**means, 'updates_per_s': updates_per_s}.items():
                self._events.add_scalar(name, value, update)
            self._events.flush()

    def is_due(self, update: int) -> bool:
        """Whether a picture is to be drawn after an update."""
        return self._strips is not None and self._every > 0 and update % self._every == 0

    def draw(self, update: int) -> None:
        """Draw a picture into `pictures/<stage>-<update>.png`."""
        assert self._strips is not None
        picture = grid(self._strips())
        write_png(self._folder / f'{self._stage}-{update:08d}.png', picture)
        if self._events is not None:
            self._events.add_image('picture', picture, update, dataformats='HWC')

    def close(self) -> None:
        """Write what is not written yet."""
        if self._events is not None:
            self._events.close()
