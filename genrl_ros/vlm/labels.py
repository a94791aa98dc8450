"""What is known of a clip and a concept: shown, not shown, or neither can be said."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TRUE, FALSE, UNSURE = 1, 0, -1

Labels = npt.NDArray[np.int8]
