"""KL, returns, the critic's loss, the reward and start states (facts 1.3, 1.4, 3)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrl_ros.world_model.mfwm import MFWM
from reference.networks import generate, next_deter, one_hot, probabilities


def kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) of log-probabilities `(S, K)`."""
    total = p.new_zeros(())
    for row_p, row_q in zip(p, q, strict=True):
        for a, b in zip(row_p, row_q, strict=True):
            total = total + torch.exp(a) * (a - b)
    return total


def balanced_kl(posterior: Tensor, prior: Tensor, balance: float, free_nats: float) -> Tensor:
    """Mean over `(B, T)` of the KL where it exceeds the free nats, and of these elsewhere."""
    terms = []
    for post_row, prior_row in zip(posterior, prior, strict=True):
        for q, p in zip(post_row, prior_row, strict=True):
            for share, divergence in (
                (balance, kl(q.detach(), p)), (1 - balance, kl(q, p.detach())),
            ):  # fmt: skip
                free = divergence.item() < free_nats
                terms.append(share * (divergence * 0 + free_nats if free else divergence))
    return sum(terms) / (posterior.shape[0] * posterior.shape[1])


def lambda_return(reward: Tensor, value: Tensor, gamma: float, lambda_: float, t: int) -> Tensor:
    """R_t of rewards r_0 to r_{T-1} and values v_0 to v_T of one trajectory, by its definition."""
    if t == len(reward):
        return value[t]
    following = lambda_return(reward, value, gamma, lambda_, t + 1)
    return reward[t] + gamma * ((1 - lambda_) * value[t + 1] + lambda_ * following)


def two_hot_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of `(N, 255)` to the neighbours of symlog(target) among 255 bins."""
    bins = [-20 + 40 * i / 254 for i in range(255)]
    losses = []
    for row, x in zip(logits, target.tolist(), strict=True):
        y = min(max(math.copysign(math.log(1 + abs(x)), x), -20.0), 20.0)
        low = max(i for i in range(254) if bins[i] <= y)
        high_share = (y - bins[low]) / (bins[low + 1] - bins[low])
        logp = row - torch.logsumexp(row, 0)
        losses.append(-((1 - high_share) * logp[low] + high_share * logp[low + 1]))
    return sum(losses) / len(losses)


def score(u: Tensor, v: Tensor) -> Tensor:
    longest = max(u.norm(), v.norm())
    return (u / longest) @ (v / longest)


def aligned_reward(project: nn.Linear, stoch: Tensor, target: Tensor) -> Tensor:
    """`align_sequence` of latents `(T, B, S, K)` and target features `(T, B, E)`."""
    columns = []
    for b in range(stoch.shape[1]):
        agent = [project.weight @ s.flatten() + project.bias for s in stoch[:, b]]
        goal, steps = target[:, b], len(agent)
        sums = [
            sum(score(agent[t + i], goal[i]).item() for i in range(8)) for t in range(steps - 8)
        ]
        best = sums.index(max(sums))
        columns.append(
            torch.stack([score(agent[t], goal[max(0, t - best)]) for t in range(steps)])
        )
    return torch.stack(columns, 1)


@torch.no_grad()
def data_free(
    model: MFWM,
    policy: Callable[[Tensor, Tensor], Tensor],
    count: int,
    warmup_steps: int,
    dreamed: float,
) -> list[tuple[Tensor, Tensor]]:
    """Start states (s, h) without data (facts 3.5); draws come in the order of the package."""
    config, half = model.config, count // 2
    kind = {'dtype': model.sequence.cell.norm.weight.dtype}
    tokens = torch.randint(config.classes, (half, config.stoch))
    rows = math.ceil(half / 16)
    embedding = F.normalize(torch.randn(rows, 16, config.embed_dim, **kind), dim=-1)
    aligned = [torch.stack([model.aligner(e) for e in row]) for row in embedding]
    dreams = [latent for row in aligned for latent in generate(model.connector, row)]
    chance = torch.rand(half, 1, 1, **kind)
    begin = [
        dreams[i] if chance[i] < dreamed else F.one_hot(tokens[i], config.classes).to(**kind)
        for i in range(half)
    ]
    ends = []
    for by_policy in (False, True):
        states = [(s, s.new_zeros(config.deter)) for s in begin]
        for _ in range(warmup_steps):
            random = torch.zeros(half, config.action_dim, **kind)
            if not by_policy:
                random.uniform_(-1, 1)
            for i, (s, h) in enumerate(states):
                action = policy(s, h) if by_policy else random[i]
                h = next_deter(model.sequence, s, action, h)
                states[i] = (one_hot(probabilities(model.sequence, h)), h)
        ends += states
    return ends
