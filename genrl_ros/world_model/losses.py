"""Losses of the world model and of the connector (facts 1.4, 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from genrl_ros.config.training import (
    ConnectConfig,
    DynamicsConfig,
    NearnessConfig,
    PriorConfig,
    WorldModelConfig,
)
from genrl_ros.world_model import latents, noise
from genrl_ros.world_model.aligner import add_noise, alignment_loss
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State
from genrl_ros.world_model.showing import following, worth


class _BalancedKL(torch.autograd.Function):
    """Both gradients from one pass: they are the same function's, each with its own weight."""

    @staticmethod
    def forward(ctx: Any, logq: Tensor, logp: Tensor, balance: float) -> Tensor:
        q, difference = logq.exp(), logq - logp
        ctx.save_for_backward(q, difference)
        ctx.balance = balance
        return (q * difference).sum((-2, -1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        q, difference = ctx.saved_tensors
        weighted = q * grad[..., None, None]
        to_prior = weighted * -ctx.balance
        of_posterior = torch.addcmul(weighted, weighted, difference).mul_(1 - ctx.balance)
        return of_posterior, to_prior, None


def balanced_kl(
    logq: Tensor, logp: Tensor, balance: float, free_nats: float
) -> tuple[Tensor, Tensor]:
    """The loss KL(q || p), and the same without free nats or gradient; both are means, in nats.

    Args:
        logq: `(..., S, K)` log-probabilities of the posterior.
        logp: the same of the prior.
        balance: share of the gradient that goes to the prior; the posterior has the rest.
        free_nats: less than this is not optimised, of each element's sum over categoricals.
    """
    kl: Tensor = _BalancedKL.apply(logq, logp, balance)  # type: ignore[no-untyped-call]
    return kl.clamp(min=free_nats).mean(), kl.detach().mean()


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
    kl_loss, kl = balanced_kl(logq, logp, config.kl_balance, config.free_nats)
    with torch.no_grad():
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
    """Negative log-likelihood of actions, on steps: `logits`, `deter`, `action` and `embed`.

    Each step is conditioned on the embedding of a clip that follows, as the aligner restores it
    from noise, which is how a prompt's embedding comes. With clean embeddings the prior learns
    episodes by heart; so it does with all features, and `config.dropout` of them are left out at
    random. A prior that is not conditional sees zeros in its place.
    """
    with torch.no_grad():
        feat = _features(batch, config.dropout)
        embed = model.aligner(add_noise(batch['embed']))
        if not config.conditional:
            embed = torch.zeros_like(embed)
    mean, std = model.prior(feat, embed)
    error = (batch['action'] - mean) / std
    loss = (0.5 * error.square() + std.log()).sum(-1).mean()
    return loss, {'nll': loss.detach(), 'std': std.detach().mean()}


def _features(batch: Mapping[str, Tensor], dropout: float) -> Tensor:
    """Features `(..., F)` of recorded states, a share of them left out at random."""
    stoch = latents.sample(latents.log_probs(batch['logits'].float()))
    feat = State(stoch, batch['deter'].float()).feat
    kept = noise.uniform(feat.shape, feat) >= dropout
    return feat * kept / (1 - dropout)


def nearness_loss(
    model: MFWM,
    batch: Mapping[str, Tensor],
    config: NearnessConfig,
    known: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy of the nearness told of states and goals, and of what followed.

    What turned out better than is told counts more, as in expectile regression (IQL, arXiv
    2110.06169): nearness is of the better ways that were gone, not of their mean.

    On stretches: `logits` and `deter` of N states, `embed` `(B, L, D)` of the clips that end with
    them and after them, and `goal` `(B, G, D)`, of which each state is asked about one, as of a
    prompt: through the aligner. `known` `(C, D)` are the concepts that have a name.
    """
    with torch.no_grad():
        feat = _features(batch, config.dropout)
        embed, goal = batch['embed'].float(), batch['goal'].float()
        prompts = model.aligner(goal)
        with torch.autocast(embed.device.type, enabled=False):
            near = following(worth(embed, goal, known, config), config.discount)
        near = near[:, : feat.shape[1]]
        draw = noise.uniform(feat.shape[:2], embed) * goal.shape[1]
        asked = draw.long().clamp(max=goal.shape[1] - 1).unsqueeze(-1)
        target = near.gather(-1, asked).squeeze(-1)
        asked_for = prompts.gather(1, asked.expand(-1, -1, goal.shape[-1]))
    told = model.nearness(feat, asked_for).float()
    error = target - told.detach().sigmoid()
    weight = torch.where(error > 0, config.optimism, 1 - config.optimism)
    loss = 2 * (weight * F.binary_cross_entropy_with_logits(told, target, reduction='none')).mean()
    return loss, {'nearness': loss.detach(), 'error': error.square().mean()}
