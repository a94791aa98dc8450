"""Losses of the world model and of the connector (facts 1.4, 2.3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from genrl_ros.config import ConnectConfig, DynamicsConfig, WorldModelConfig
from genrl_ros.world_model import latents
from genrl_ros.world_model.aligner import add_noise, alignment_loss
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State


def balanced_kl(logq: Tensor, logp: Tensor, balance: float, free_nats: float) -> Tensor:
    """KL(q || p) whose gradient goes `balance` to the prior p and the rest to the posterior q.

    Free nats apply to each element after its categoricals are summed.
    """
    posterior = latents.kl(logq, logp.detach()).clamp(min=free_nats)
    prior = latents.kl(logq.detach(), logp).clamp(min=free_nats)
    return ((1 - balance) * posterior + balance * prior).mean()


def world_model_loss(
    model: MFWM, batch: Mapping[str, Tensor], config: WorldModelConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Reconstruction plus KL on a batch of `image`, `action` and `is_first`."""
    image = batch['image']
    logq = latents.log_probs(model.tokenizer.encode(image))
    stoch = latents.sample(logq)
    deter = model.deter_along(stoch, batch['action'], batch['is_first'])
    logp = model.sequence.prior(deter)
    image_loss = model.tokenizer.reconstruction_loss(stoch, image)
    kl_loss = balanced_kl(logq, logp, config.kl_balance, config.free_nats)
    with torch.no_grad():
        kl = latents.kl(logq, logp).mean()
        entropy = -(logq.exp() * logq).sum((-2, -1)).mean()
    loss = image_loss + config.kl_scale * kl_loss
    return loss, {'image': image_loss.detach(), 'kl': kl, 'posterior_entropy': entropy}


def dynamics_loss(
    model: MFWM, batch: Mapping[str, Tensor], config: DynamicsConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """KL of the prior alone, on `logits`, `action` and `is_first`: the tokenizer is finished.

    Free nats are for the posterior's sake; here the prior shall be as good as it can.
    """
    logq = latents.log_probs(batch['logits'].float())
    deter = model.deter_along(latents.sample(logq), batch['action'], batch['is_first'])
    kl = latents.kl(logq, model.sequence.prior(deter)).mean()
    return kl, {'kl': kl.detach()}


def connect_loss(
    model: MFWM, batch: Mapping[str, Tensor], config: ConnectConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Connector's KL to the posteriors plus the aligner's loss, on `logits` and `embed`.

    Each frame of a chunk of eight sees the embedding of its own chunk, which is the one stored at
    the chunk's last frame. Posteriors carry no gradient.
    """
    logq = latents.log_probs(batch['logits'].float())
    chunks = batch['embed'][:, 7::8]
    logp = model.connector.teacher_forced(latents.sample(logq), chunks.repeat_interleave(8, 1))
    kl = latents.kl(logp, logq).mean()
    align = alignment_loss(model.aligner, chunks)
    return config.kl_scale * kl + align, {'connector_kl': kl.detach(), 'align': align.detach()}


def prior_loss(model: MFWM, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Negative log-likelihood of actions, on `logits`, `action`, `is_first` and `embed`.

    Each step is conditioned on the embedding of a clip that ends later in its sequence, half of
    them as they are and half as the aligner restores them from noise, which is how a prompt's
    embedding will come.
    """
    with torch.no_grad():
        stoch = latents.sample(latents.log_probs(batch['logits'].float()))
        deter = model.deter_along(stoch, batch['action'], batch['is_first'])
        feat = State(stoch, deter).feat[:, :-1]
        size, steps = feat.shape[:2]
        now = torch.arange(steps)
        ahead = (torch.rand(size, steps) * (steps - now)).long()
        embed = batch['embed'][torch.arange(size)[:, None], now + 1 + ahead]
        known = embed.square().sum(-1) > 0  # the first seven frames of an episode end no clip
        noisy = model.aligner(add_noise(embed))
        embed = torch.where(torch.rand(size, steps, 1) < 0.5, embed, noisy)
    mean, std = model.prior(feat, embed)
    error = (batch['action'][:, 1:] - mean) / std
    loss = (0.5 * error.square() + std.log()).sum(-1)
    loss = (loss * known).sum() / known.sum().clamp(min=1)
    return loss, {'nll': loss.detach(), 'std': std.detach().mean()}
