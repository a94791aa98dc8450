"""Work in stages, each of which is done once for the settings that it was asked with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genrl_ros.system.files import write_json
from genrl_ros.world_model.ranks import ALONE, Ranks

Result = dict[str, Any]


class Stages:
    """Remembers in `<folder>/<stage>.json` what was done with which settings, and what came out.

    Args:
        folder: of the records.
        ranks: the processes that do the work; the first one writes.
        tell: called with a line about each stage.
    """

    def __init__(self, folder: Path, ranks: Ranks, tell: Callable[[str], None]) -> None:
        self._folder, self._ranks, self._tell = folder, ranks, tell

    def alone(self) -> Stages:
        """The same, for one process from here on."""
        return Stages(self._folder, ALONE, self._tell)

    def do(
        self,
        stage: str,
        settings: Mapping[str, Any],
        result_of: Callable[[], Result],
        products: tuple[Path, ...],
    ) -> Result:
        """The result of a stage: the recorded one if it fits, else that of doing it now.

        Args:
            stage: its name.
            settings: all that its result depends on; what JSON can hold, and paths.
            result_of: does it.
            products: files that it leaves; where one is missing, it is done again.
        """
        record = self._folder / f'{stage}.json'
        asked = json.loads(json.dumps(settings, default=str))
        self._ranks.wait()
        if record.is_file() and all(path.exists() for path in products):
            held = json.loads(record.read_text())
            if held['settings'] == asked:
                self._tell(f'{stage}: done already')
                return dict(held['result'])
        self._tell(f'{stage}: begins')
        self._ranks.wait()
        result = result_of()
        if self._ranks.first:
            write_json(record, {'settings': asked, 'result': result})
        return result
