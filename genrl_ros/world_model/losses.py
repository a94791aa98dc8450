"""Losses of the world model and of the connector (facts 1.4, 2.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from genrl_ros.config import ConnectConfig, DynamicsConfig, PriorConfig, WorldModelConfig
from genrl_ros.world_model import latents, noise
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
    tokenizer, lead = model.tokenizer, batch['image'].shape[:2]
    canvas = tokenizer.canvas(batch['image'].flatten(0, 1))
    logq = latents.log_probs(tokenizer.posterior_logits(canvas)).unflatten(0, lead)
    stoch = latents.sample(logq)
    deter = model.deter_along(stoch, batch['action'], batch['is_first'])
    logp = model.sequence.prior(deter)
    emphasis = tokenizer.emphasis(config.focus)
    image_loss = tokenizer.reconstruction_loss(stoch.flatten(0, 1), canvas, emphasis)
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
    logp = model.connector.teacher_forced(latents.sample(logq), chunks)
    kl = latents.kl(logp, logq).mean()
    align = alignment_loss(model.aligner, chunks)
    return config.kl_scale * kl + align, {'connector_kl': kl.detach(), 'align': align.detach()}


def prior_loss(
    model: MFWM, batch: Mapping[str, Tensor], config: PriorConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Negative log-likelihood of actions, on `logits`, `action`, `is_first` and `embed`.

    Each step is conditioned on the embedding of a clip that ends later in its sequence, as the
    aligner restores it from noise, which is how a prompt's embedding comes. With clean embeddings
    the prior learns episodes by heart; so it does with all features, and `config.dropout` of them
    are left out at random. Steps of one sequence are much alike: `config.steps` of each are drawn,
    and of more sequences.
    """
    with torch.no_grad():
        stoch = latents.sample(latents.log_probs(batch['logits'].float()))
        deter = model.deter_along(stoch, batch['action'], batch['is_first'])
        size, steps = len(deter), deter.shape[1] - 1
        sample = torch.arange(size, device=deter.device)[:, None]
        now = noise.uniform((size, steps), deter).topk(min(config.steps, steps)).indices
        feat = State(stoch[sample, now], deter[sample, now]).feat
        later = now + clip_delay(noise.uniform(now.shape, deter), steps - now, config)
        inside = later < steps
        embed = batch['embed'][sample, 1 + later.clamp(max=steps - 1)]
        known = inside & (embed.square().sum(-1) > 0)  # an episode's first frames end no clip
        embed = model.aligner(add_noise(embed))
        kept = noise.uniform(feat.shape, feat) >= config.dropout
        feat = feat * kept / (1 - config.dropout)
    mean, std = model.prior(feat, embed)
    error = (batch['action'][sample, 1 + now] - mean) / std
    loss = (0.5 * error.square() + std.log()).sum(-1)
    loss = (loss * known).mean()  # linear in the samples, so that it can be shared
    return loss, {'nll': loss.detach(), 'std': std.detach().mean()}


def clip_delay(draw: Tensor, left: Tensor, config: PriorConfig) -> Tensor:
    """How many steps after the next one a clip ends, geometric from `config.delay` on.

    Args:
        draw: `(B, T)` in [0, 1).
        left: `(T,)` or `(B, T)` steps that are left; where they do not reach `config.delay`,
            neither does the result stay within them.
        config: the distribution.

    Returns:
        `(B, T)` int64.
    """
    choices = (left - config.delay).clamp(min=1)
    remaining = 1 - draw * (1 - config.discount**choices)
    steps = (remaining.log() / math.log(config.discount)).long()
    return config.delay + torch.minimum(steps, choices - 1)
