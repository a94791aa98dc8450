"""Reward of a task: how well imagined states follow the prompt's latent trajectory.

Source: facts 3.2, 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrl_ros.behavior.actor_critic import Dream
from genrl_ros.config.learning import Align
from genrl_ros.world_model.fast.lookup import quadratic
from genrl_ros.world_model.mfwm import MFWM

WINDOW = 8


@torch.no_grad()
def target_features(model: MFWM, embedding: Tensor, trajectories: int, steps: int) -> Tensor:
    """Features g(s) of the prompt's latent trajectory, one trajectory for each imagined one.

    The connector's first state is sampled, so that trajectories differ; the states after it are
    modes. The first generated state is dropped, as published.

    Args:
        model: the world model.
        embedding: `(D,)` embedding of the prompt, before the aligner.
        trajectories: number B of trajectories.
        steps: number T of states in each.

    Returns:
        `(T, B, E)` float32.
    """
    aligned = model.aligner(embedding).expand(trajectories, steps + 1, -1)
    stoch = model.connector.generate(aligned, mode=True)[:, 1:]
    return model.tokenizer.project(stoch).transpose(0, 1)


class Matcher:
    """Scores latents against the targets of a run, without projecting them.

    The score of features u and v is `u . v / max(|u|, |v|)^2`, that is their cosine times the
    ratio of their lengths: in [-1, 1], and 1 only if they are equal. Here `u = W s + b`, of a
    one-hot s. All that is needed of W is then known before the run: `W^T v` of each target, and
    `W^T W`, of which a one-hot s only picks rows.

    Args:
        project: g, the decoder's first layer; it must not change.
        target: `(T, B, E)` from `target_features`.
        categoricals: S of the latents.
        align: see `aligned`.
    """

    def __init__(
        self,
        project: nn.Linear,
        target: Tensor,
        categoricals: int,
        align: Align = 'sequence',
    ) -> None:
        self.align = align
        with torch.no_grad():
            weight, bias = project.weight, project.bias
            target = target.transpose(0, 1).contiguous()
            self.pull = (target @ weight).transpose(1, 2).contiguous()  # (B, S * K, G)
            self.shift = (target @ bias).unsqueeze(1)  # (B, 1, G)
            self.length = target.square().sum(-1).unsqueeze(1)  # (B, 1, G)
            self.cross, self.rest = weight.t() @ bias, bias @ bias
            self.gram = weight.t() @ weight + self.cross / categoricals

    def scores(self, stoch: Tensor, tokens: Tensor) -> Tensor:
        """`(B, T, G)` of each state with each target.

        Args:
            stoch: `(T, B, S, K)`, one-hot.
            tokens: `(T, B, S)`, its classes.
        """
        steps, batch = tokens.shape[:2]
        if self.length.shape != (batch, 1, steps):
            known = (self.length.shape[2], self.length.shape[0])
            raise ValueError(f'{(steps, batch)} steps and trajectories, but targets of {known}')
        length = quadratic(stoch, tokens, self.gram, self.cross).t() + self.rest
        longest = torch.maximum(length.unsqueeze(-1), self.length)
        dot = stoch.flatten(-2).transpose(0, 1) @ self.pull + self.shift
        return dot / longest.clamp(min=1e-12)

    def reward(self, stoch: Tensor, tokens: Tensor) -> Tensor:
        """Reward `(T, B)`; arguments as for `scores`."""
        return aligned(self.scores(stoch, tokens), self.align)

    def __call__(self, dream: Dream) -> Tensor:
        """Reward of every state of a dream."""
        return self.reward(dream.stoch, dream.tokens)


def aligned(scores: Tensor, align: Align = 'sequence') -> Tensor:
    """Reward of every imagined state.

    With alignment, the agent may take its time: the target starts where its first eight states fit
    the rollout best, and until then the agent is compared with the target's first state.

    Args:
        scores: `(B, T, T)` of each imagined state with each target state.
        align: `sequence` (best window of eight, the default of the paper), `initial` (best first
            state) or `none`.

    Returns:
        `(T, B)` float32 in [-1, 1].

    Source: facts 3.3, where the last possible window is not tried; kept so.
    """
    steps = scores.shape[1]
    time = torch.arange(steps, device=scores.device)
    if align == 'none':
        start = torch.zeros_like(scores[:, 0, 0], dtype=torch.long)
    elif align == 'initial':
        start = scores[:, :, 0].argmax(1)
    else:
        starts, window = time[: steps - WINDOW], time[:WINDOW]
        start = scores.detach()[:, starts[:, None] + window, window].mean(-1).argmax(1)
    index = (time[None] - start[:, None]).clamp(min=0)  # (B, T)
    return scores.gather(2, index.unsqueeze(-1)).squeeze(-1).transpose(0, 1)
