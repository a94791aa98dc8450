"""The same updates in the plain, step-by-step form that published code has, to measure against.

Each function takes a model and computes what its fast form does, on the same parameters, the way
one writes it down from the paper: the posterior inside the loop over time, the prior and a sample
of it at each step, one linear layer on `[x, h]`, a transposed convolution on a 1x1 map, each
window of the reward projected anew, optimisers that go parameter by parameter. The published
reward head is left out: it changes nothing that GenRL uses.

Source: facts 1 to 3. Written anew from them; only `genrl bench` and tests use it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrl_ros.behavior.actor_critic import ActorCritic
from genrl_ros.behavior.critic import BIN_LIMIT, BINS, symlog
from genrl_ros.behavior.rewards.sequence import WINDOW
from genrl_ros.config.training import ConnectConfig, OptimConfig, WorldModelConfig
from genrl_ros.world_model import latents
from genrl_ros.world_model.aligner import alignment_loss
from genrl_ros.world_model.conv import ConvDecoder, ConvEncoder
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import SequenceModel, State

Draw = Callable[[Tensor], Tensor]
"""A one-hot sample, with a straight-through gradient, of log-probabilities `(..., S, K)`."""


def draw(logp: Tensor) -> Tensor:
    """The library's own sample."""
    return torch.distributions.OneHotCategoricalStraightThrough(probs=logp.exp()).rsample()


class Cell:
    """The GRU as one linear layer on `[x, h]`.

    Our cell keeps that layer in two halves; they are put together once an update.
    """

    def __init__(self, sequence: SequenceModel) -> None:
        cell = sequence.cell
        self.sequence, self.norm = sequence, cell.norm
        self.weight = torch.cat([cell.from_input.weight, cell.from_deter.weight], 1)

    def step(self, state: State, inputs: Tensor, draw: Draw) -> tuple[State, Tensor]:
        """The next state and the prior it is drawn from, `(B, S, K)` log-probabilities."""
        x = self.sequence.embed(torch.cat([state.stoch.flatten(-2), inputs], -1))
        gates = self.norm(F.linear(torch.cat([x, state.deter], -1), self.weight))
        reset, candidate, update = gates.chunk(3, -1)
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        update = torch.sigmoid(update - 1)
        deter = update * candidate + (1 - update) * state.deter
        logp = self.sequence.prior(deter)
        return State(draw(logp), deter), logp


def embed_images(model: MFWM, image: Tensor) -> Tensor:
    """`(B, T, E)` of images `(B, T, 3, 64, 64)` uint8."""
    pixels = image.flatten(0, 1).float() / 255 - 0.5
    encoder = model.tokenizer.encoder
    assert isinstance(encoder, ConvEncoder)
    out: Tensor = encoder.layers(pixels)
    return out.flatten(1).unflatten(0, image.shape[:2])


def observe(
    model: MFWM, embedded: Tensor, action: Tensor, is_first: Tensor, draw: Draw = draw
) -> tuple[Tensor, Tensor, Tensor]:
    """Posterior samples, posteriors and priors `(B, T, S, K)` along sequences."""
    cell, state = Cell(model.sequence), model.sequence.initial(len(action))
    samples, posteriors, priors = [], [], []
    for t in range(action.shape[1]):
        keep = 1 - is_first[:, t, None]
        state = State(state.stoch * keep.unsqueeze(-1), state.deter * keep)
        prior_state, prior = cell.step(state, action[:, t] * keep, draw)
        logits = model.tokenizer.posterior(embedded[:, t]).view_as(prior)
        posterior = latents.log_probs(logits)
        state = State(draw(posterior), prior_state.deter)
        samples.append(state.stoch)
        posteriors.append(posterior)
        priors.append(prior)
    return torch.stack(samples, 1), torch.stack(posteriors, 1), torch.stack(priors, 1)


def balanced_kl(posterior: Tensor, prior: Tensor, config: WorldModelConfig) -> Tensor:
    """KL(q || p) with free nats, balanced between its two sides."""
    to_prior = latents.kl(posterior.detach(), prior).clamp(min=config.free_nats).mean()
    to_posterior = latents.kl(posterior, prior.detach()).clamp(min=config.free_nats).mean()
    return config.kl_balance * to_prior + (1 - config.kl_balance) * to_posterior


def reconstruction(model: MFWM, stoch: Tensor, image: Tensor) -> Tensor:
    """Squared error of decoded latents `(B, T, S, K)`, a sum over pixels, a mean over images."""
    decoder = model.tokenizer.decoder
    assert isinstance(decoder, ConvDecoder), 'the plain form is that of convolutions'
    x = decoder.project(stoch.flatten(0, 1).flatten(1))
    first = decoder.spread.weight.t().reshape(x.shape[1], -1, 5, 5)
    x = F.conv_transpose2d(x.view(*x.shape, 1, 1), first, decoder.spread_bias, 2)
    difference = decoder.layers(x) - (image.flatten(0, 1).float() / 255 - 0.5)
    return difference.square().sum((1, 2, 3)).mean()


def world_model_loss(
    model: MFWM, batch: Mapping[str, Tensor], config: WorldModelConfig, draw: Draw = draw
) -> Tensor:
    """What `losses.world_model_loss` computes."""
    embedded = embed_images(model, batch['image'])
    stoch, posterior, prior = observe(model, embedded, batch['action'], batch['is_first'], draw)
    kl = balanced_kl(posterior, prior, config)
    return reconstruction(model, stoch, batch['image']) + config.kl_scale * kl


def connect_loss(
    model: MFWM, batch: Mapping[str, Tensor], config: ConnectConfig, draw: Draw = draw
) -> Tensor:
    """What `losses.connect_loss` computes."""
    posterior = latents.log_probs(batch['logits'].float())
    stoch = draw(posterior)
    chunks = batch['embed'][:, 7::8]
    embed = chunks.repeat_interleave(8, 1)
    connector = model.connector
    cell = Cell(connector.sequence)
    inputs = connector.inputs(embed)
    deter = connector.start(inputs[:, 0])
    state = State(draw(connector.sequence.prior(deter)), deter)
    priors = []
    for t in range(stoch.shape[1]):
        state, prior = cell.step(state, inputs[:, t], draw)
        state = State(stoch[:, t], state.deter)
        priors.append(prior)
    kl = latents.kl(torch.stack(priors, 1), posterior).mean()
    return config.kl_scale * kl + alignment_loss(model.aligner, chunks)


class PlainOptimizer:
    """Adam, clipping and weight decay, parameter by parameter."""

    def __init__(self, parameters: list[nn.Parameter], config: OptimConfig) -> None:
        self.parameters, self.config = parameters, config
        self.adam = torch.optim.Adam(parameters, config.lr, eps=config.eps, foreach=False)

    def step(self, loss: Tensor) -> None:
        """One step."""
        self.adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.config.clip, foreach=False)
        with torch.no_grad():
            for parameter in self.parameters:
                parameter.mul_(1 - self.config.weight_decay)
        self.adam.step()


def _score(model: MFWM, agent: Tensor, target: Tensor) -> Tensor:
    u, v = model.tokenizer.project(agent), model.tokenizer.project(target)
    longest = torch.maximum(u.norm(dim=-1), v.norm(dim=-1)).unsqueeze(-1)
    return ((u / longest) * (v / longest)).sum(-1)


def reward(model: MFWM, agent: Tensor, target: Tensor) -> Tensor:
    """Reward `(T, B)` of latents `(T, B, S, K)` against those of the target (facts 3.3)."""
    steps, batch = agent.shape[:2]
    seen = agent.detach()
    windows = [
        _score(model, seen[t : t + WINDOW], target[:WINDOW]).mean(0) for t in range(steps - WINDOW)
    ]
    start = torch.stack(windows).argmax(0)
    index = (torch.arange(steps, device=agent.device)[:, None] - start).clamp(min=0)
    return _score(model, agent, target[index, torch.arange(batch, device=agent.device)])


def imagine(
    model: MFWM, act: Callable[[Tensor], Tensor], start: State, horizon: int, draw: Draw = draw
) -> State:
    """States `(horizon + 1, B, ...)` of the policy `act` on detached features."""
    cell, states = Cell(model.sequence), [start]
    for _ in range(horizon):
        states.append(cell.step(states[-1], act(states[-1].feat.detach()), draw)[0])
    return State(*(torch.stack(parts) for parts in zip(*states, strict=True)))


def two_hot_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of `(..., 255)` to targets `(...)`, with the two-hot vector written out."""
    bins = torch.linspace(-BIN_LIMIT, BIN_LIMIT, BINS, dtype=logits.dtype, device=logits.device)
    value = symlog(target).clamp(-BIN_LIMIT, BIN_LIMIT)
    above = (bins < value.unsqueeze(-1)).sum(-1).clamp(1, BINS - 1)
    width = bins[above] - bins[above - 1]
    share = ((value - bins[above - 1]) / width).unsqueeze(-1)
    hot = F.one_hot(above - 1, BINS) * (1 - share) + F.one_hot(above, BINS) * share
    return -(hot * logits.log_softmax(-1)).sum(-1).mean()


def behavior_losses(
    agent: ActorCritic,
    model: MFWM,
    start: State,
    target: Tensor,
    draw: Draw = draw,
) -> tuple[Tensor, Tensor]:
    """Losses of actor and critic, without the prior that published actors do not have.

    Args:
        agent: networks and settings.
        model: the world model.
        start: `B` states.
        target: `(T, B, S, K)` latents of the prompt.
        draw: sample of latents.
    """
    config = agent.config
    states = imagine(model, agent.actor.sample, start, config.horizon, draw)
    rewards = reward(model, states.stoch, target)
    feat = states.feat
    value = agent.target_critic.value(agent.target_critic(feat))
    following = value[-1]
    returns: list[Tensor] = []
    for t in reversed(range(config.horizon)):
        ahead = (1 - config.lambda_) * value[t + 1] + config.lambda_ * following
        following = rewards[t] + config.gamma * ahead
        returns.insert(0, following)
    stacked = torch.stack(returns)
    actor_loss = -agent.normalizer(stacked[1:], stacked[1:].detach()).mean()
    return actor_loss, two_hot_loss(agent.critic(feat[:-1].detach()), stacked.detach())
