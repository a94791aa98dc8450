"""A clone of the dataset that knows no prompt, for imagination to stay near."""

from __future__ import annotations

import torch

from genrl_ros.training.rounds.recorded import Recorded
from genrl_ros.world_model.mfwm import MFWM

UPDATES, BATCH, LR = 2_000, 512, 1e-3


def train_anchor(model: MFWM, recorded: Recorded) -> None:
    """Make the model's prior an unconditional clone of recorded actions."""
    prior = model.prior.requires_grad_(True)
    torch.nn.init.zeros_(prior.condition.weight)
    adam = torch.optim.Adam(prior.actor.parameters(), LR)
    windows, frames = recorded.kl.shape
    for update in range(UPDATES):
        window = torch.randint(windows, (BATCH,))
        frame = torch.randint(frames - 1, (BATCH,))
        mean, std = prior.actor(recorded.feat(window * frames + frame))
        error = (recorded.action[window, frame + 1] - mean) / std
        loss = (0.5 * error.square() + std.log()).sum(-1).mean()
        adam.zero_grad()
        loss.backward()
        adam.param_groups[0]['lr'] = LR * (1 - update / UPDATES)
        adam.step()
    prior.requires_grad_(False)
