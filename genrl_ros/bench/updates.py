"""The updates that are measured, ours and in plain form, whole and in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrl_ros.behavior.actor_critic import ActorCritic
from genrl_ros.behavior.rewards.sequence import Matcher, target_features
from genrl_ros.bench import plain
from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.model import ModelConfig
from genrl_ros.config.training import ConnectConfig, OptimConfig, WorldModelConfig
from genrl_ros.training.behavior.learning_rule import LearningRule
from genrl_ros.training.engine.graphs import Loss, graphed
from genrl_ros.training.engine.optim import Optimizer
from genrl_ros.training.engine.speed import ACTIONS, Captured, Size, Work
from genrl_ros.world_model import latents, losses
from genrl_ros.world_model.fast.norm_silu import by_library, is_compiled, norm_silu
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State

CHANNELS, NUMBERS = (24, 1024), 2**20
PARTS = ('encoder', 'sequence', 'decoder', 'connector', 'optimiser')
WORLD, CONNECT, OPTIM = WorldModelConfig(), ConnectConfig(), OptimConfig()
Parameters = list[nn.Parameter]


def random_batch(sizes: ModelConfig, size: Size, device: str) -> dict[str, Tensor]:
    """Noise of the shapes that a training has."""
    lead = (size.batch, size.length)
    values = {
        'image': torch.randint(256, (*lead, 3, 64, 64), dtype=torch.uint8),
        'action': torch.rand(*lead, ACTIONS) * 2 - 1,
        'is_first': torch.zeros(lead),
        'logits': torch.randn(*lead, sizes.stoch, sizes.classes).half(),
        'embed': F.normalize(torch.randn(*lead, sizes.embed_dim), dim=-1),
    }
    return {name: value.to(device) for name, value in values.items()}


def world_updates(
    model: MFWM, batch: Mapping[str, Tensor], device: str, mixed: bool = False
) -> dict[str, Work]:
    """Our update of world model, connector and aligner, `total` and by part.

    With `mixed`, losses are computed in bfloat16 where that is exact enough.
    """
    optimizers = [Optimizer(group, OPTIM, 10**6) for group in _groups(model)]
    stages = _losses(model, device, mixed)

    def updating(stages: Iterable[Loss]) -> Work:
        def update() -> None:
            for loss, optimizer in zip(stages, optimizers, strict=True):
                optimizer.step(loss(batch)[0])

        return update

    update = updating(stages)
    if device == 'cuda':
        recorded = [graphed(loss, model, batch) for loss in stages]
        update = Captured(updating(recorded), update)

    def precision() -> torch.autocast:
        return torch.autocast(device, torch.bfloat16, enabled=mixed)

    tokenizer, lead = model.tokenizer, batch['image'].shape[:2]
    image = batch['image'].flatten(0, 1)
    canvas = tokenizer.canvas(image)
    embedded, stoch, noise = _cuts(model, canvas, lead)

    def encoder() -> None:
        with precision():
            out = tokenizer.embed(tokenizer.canvas(image))
        out.backward(torch.ones_like(out))

    def sequence() -> None:
        with precision():
            logits = tokenizer.posterior(embedded).view_as(stoch)
            logq = latents.log_probs(logits)
            drawn = latents.sample(logq)
            deter = model.deter_along(drawn, batch['action'], batch['is_first'])
            logp = model.sequence.prior(deter)
            kl, _ = losses.balanced_kl(logq, logp, WORLD.kl_balance, WORLD.free_nats)
        (kl + (drawn * noise).sum()).backward()

    def decoder() -> None:
        with precision():
            loss = tokenizer.reconstruction_loss(stoch.flatten(0, 1), canvas)
        loss.backward()

    def connect() -> None:
        stages[1](batch)[0].backward()

    def optimize() -> None:
        for optimizer in optimizers:
            optimizer.step(_trivial(optimizer.parameters))

    parts = (encoder, sequence, decoder, connect, optimize)
    return {'total': update} | _named(model, parts)


def plain_world_updates(model: MFWM, batch: Mapping[str, Tensor]) -> dict[str, Work]:
    """The same in plain form, in float32."""
    world, connector = (plain.PlainOptimizer(p, OPTIM) for p in _groups(model))

    def update() -> None:
        world.step(plain.world_model_loss(model, batch, WORLD))
        connector.step(plain.connect_loss(model, batch, CONNECT))

    image, lead = batch['image'], batch['image'].shape[:2]
    embedded, stoch, noise = _cuts(model, model.tokenizer.canvas(image.flatten(0, 1)), lead)

    def encoder() -> None:
        out = plain.embed_images(model, image)
        out.backward(torch.ones_like(out))

    def sequence() -> None:
        drawn, posterior, prior = plain.observe(
            model, embedded.unflatten(0, lead), batch['action'], batch['is_first']
        )
        kl = plain.balanced_kl(posterior, prior, WORLD)
        (kl + (drawn * noise).sum()).backward()

    def decoder() -> None:
        plain.reconstruction(model, stoch, image).backward()

    def connect() -> None:
        plain.connect_loss(model, batch, CONNECT).backward()

    def optimize() -> None:
        for optimizer in (world, connector):
            optimizer.step(_trivial(optimizer.parameters))

    parts = (encoder, sequence, decoder, connect, optimize)
    runs = {'total': update} | _named(model, parts)
    return {name: _by_library(run) for name, run in runs.items()}


def behavior_updates(model: MFWM, starts: int, device: str, mixed: bool) -> dict[str, Work]:
    """One update of actor and critic by imagination: `ours`, `ours bf16` if asked, and `plain`."""
    config = replace(LearnConfig(), starts=starts, prior=0.0, critic_first=0)
    rounded = replace(config, precision='bf16')
    sizes = model.config
    model.requires_grad_(False)
    embedding = F.normalize(torch.randn(sizes.embed_dim, device=device), dim=0)
    ours, mixed_ours = (
        LearningRule(ActorCritic(model, embedding, each)) for each in (config, rounded)
    )
    other = ActorCritic(model, embedding, config)
    tokens = torch.randint(sizes.classes, (starts, sizes.stoch), device=device)
    start = State(
        latents.one_hot(tokens, sizes.classes), torch.rand(starts, sizes.deter, device=device)
    )
    steps = config.horizon + 1
    target = target_features(model, embedding, starts, steps)
    matcher = Matcher(model.tokenizer.decoder.project, target, sizes.stoch)
    with torch.no_grad():
        repeated = model.aligner(embedding).expand(starts, steps + 1, -1)
        goal = model.connector.generate(repeated, mode=True)[:, 1:].transpose(0, 1)
    critic, actor = (
        plain.PlainOptimizer(list(net.parameters()), replace(OPTIM, lr=3e-5, eps=1e-5, clip=100.0))
        for net in (other.critic, other.actor)
    )

    def by_hand() -> None:
        actor_loss, critic_loss = plain.behavior_losses(other, model, start, goal)
        actor.step(actor_loss)
        critic.step(critic_loss)

    runs: dict[str, Work] = {'ours': lambda: ours.update(model, start, matcher)}
    if mixed:
        runs['ours bf16'] = lambda: mixed_ours.update(model, start, matcher)
    return runs | {'plain': _by_library(by_hand)}


def norms(device: str) -> dict[tuple[str, int, str], Work]:
    """LayerNorm and SiLU of `NUMBERS` numbers, forwards and backwards, by library and compiled.

    By form, channels, and precision.
    """
    runs: dict[tuple[str, int, str], Work] = {}
    for channels in CHANNELS:
        norm = nn.LayerNorm(channels, device=device)
        for precision, dtype in (('float32', torch.float32), ('bf16', torch.bfloat16)):
            x = torch.randn(NUMBERS // channels, channels, device=device, dtype=dtype)
            run = partial(_norm, x.requires_grad_(), norm, torch.randn_like(x))
            runs['library', channels, precision] = _by_library(run)
            if is_compiled() and device == 'cpu':
                runs['compiled', channels, precision] = run
    return runs


def _norm(x: Tensor, norm: nn.LayerNorm, grad: Tensor) -> None:
    x.grad = None
    norm_silu(x, norm).backward(grad)


def _losses(model: MFWM, device: str, mixed: bool) -> tuple[Loss, Loss]:
    """Of the world model, and of connector and aligner."""

    def world_loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(device, torch.bfloat16, enabled=mixed):
            return losses.world_model_loss(model, batch, WORLD)

    def connect_loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(device, torch.bfloat16, enabled=mixed):
            return losses.connect_loss(model, batch, CONNECT)

    return world_loss, connect_loss


def _groups(model: MFWM) -> tuple[Parameters, Parameters]:
    world = [*model.tokenizer.parameters(), *model.sequence.parameters()]
    return world, [*model.connector.parameters(), *model.aligner.parameters()]


@torch.no_grad()
def _cuts(model: MFWM, canvas: Tensor, lead: torch.Size) -> tuple[Tensor, Tensor, Tensor]:
    """What parts hand to each other: embedded images, latents, and a gradient of the latents."""
    embedded = model.tokenizer.embed(canvas)
    logp = latents.log_probs(model.tokenizer.posterior_logits(canvas)).unflatten(0, lead)
    stoch = latents.sample(logp)
    return embedded.requires_grad_(), stoch.requires_grad_(), torch.randn_like(stoch)


def _trivial(parameters: Iterable[Tensor]) -> Tensor:
    """A loss that gives every parameter a gradient at the price of one pass over it."""
    return torch.stack([parameter.sum() for parameter in parameters]).sum() * 1e-6


def _alone(model: MFWM, run: Callable[[], None]) -> Work:
    """A run that adds to no earlier gradient."""

    def fresh() -> None:
        for parameter in model.parameters():
            parameter.grad = None
        run()

    return fresh


def _by_library(run: Work) -> Work:
    """A run without what is compiled for ours."""

    def plainly() -> None:
        with by_library():
            run()

    return plainly


def _named(model: MFWM, parts: Iterable[Callable[[], None]]) -> dict[str, Work]:
    runs = zip(PARTS, parts, strict=True)
    return {name: _alone(model, run) for name, run in runs}
