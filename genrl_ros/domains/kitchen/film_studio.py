"""The studio in which the embedder's clips are filmed: an arm that rehearses, and takes of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genrl_ros.domains.kitchen.rehearsal import rehearse
from genrl_ros.domains.kitchen.studio import Studio
from genrl_ros.domains.kitchen.takes import Takes


class FilmStudio(Studio, Takes):
    """See `training.embedder.source.Studio`."""

    def rehearse(self, seed: int) -> npt.NDArray[np.float32]:
        """States `(T, 30)` of one rehearsal."""
        return rehearse(self, seed)
