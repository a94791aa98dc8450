"""How well clips show what is asked for, and how near they are to clips that do."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from genrl_ros.config.training import NearnessConfig


def worth(clip: Tensor, goal: Tensor, known: Tensor | None, config: NearnessConfig) -> Tensor:
    """How well clips `(B, L, D)` show goals `(B, G, D)`: `(B, L, G)` in [0, 1].

    A cosine of 1 is worth 1, and one of `floor` and less nothing. It counts less as far as the
    clip shows another concept better than the goal: a lunge is alike to standing on one foot, and
    is a lunge. The goal's own concept, the nearest to it, is no other.

    Args:
        clip: of unit length.
        goal: of unit length.
        known: `(C, D)` concepts that have a name; None of an embedder without any.
        config: `floor` and `contrast`.
    """
    cosine = clip @ goal.mT
    shown = ((cosine - config.floor) / (1 - config.floor)).clamp(0, 1)
    if known is None or len(known) < 2 or not config.contrast:
        return shown
    to_known = goal @ known.T
    own = F.one_hot(to_known.argmax(-1), len(known)).bool()
    other = (clip @ known.T).unsqueeze(2).masked_fill(own.unsqueeze(1), -1.0).amax(-1)
    least = to_known.masked_fill(own, -1.0).amax(-1)
    told = torch.sigmoid((cosine - other) / config.contrast)
    best = torch.sigmoid((1 - least) / config.contrast)
    return shown * (told / best.unsqueeze(1)).clamp(max=1)


def following(worth: Tensor, discount: float) -> Tensor:
    """The best that follows, of what clips `(B, L, G)` in their order are worth.

    Each is worth less by `discount` for each step until it comes.
    """
    best = [worth[:, -1]]
    for step in reversed(range(worth.shape[1] - 1)):
        best.append(torch.maximum(worth[:, step], discount * best[-1]))
    return torch.stack(best[::-1], 1)
