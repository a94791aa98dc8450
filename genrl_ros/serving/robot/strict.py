"""What the fields of an embodiment file may hold, for pydantic: no guesses, no foreign keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

STRICT = ConfigDict(strict=True, extra='forbid')
"""The `__pydantic_config__` of a dataclass that is read from a file."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
