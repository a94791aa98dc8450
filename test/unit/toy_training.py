"""A small training, for tests that cut it, share it among processes or make it fail.

A module of its own, so that other processes can import it.
"""

from __future__ import annotations

import csv
import io
import itertools
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.model import model_preset
from genrl_ros.config.training import (
    ConnectConfig,
    DynamicsConfig,
    NearnessConfig,
    OptimConfig,
    PriorConfig,
    RecordConfig,
    WorldModelConfig,
)
from genrl_ros.data.pictures import Strips
from genrl_ros.data.store.episode_file import Episode
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.store.replay import Replay, StepReplay
from genrl_ros.data.store.stills import HELD, STILLS
from genrl_ros.data.store.stretches import StretchReplay
from genrl_ros.domains.base import RobotSpec
from genrl_ros.system.arrays import FloatArray
from genrl_ros.training.behavior.export import write_model
from genrl_ros.training.behavior.learn import RECORD, Assignment, LearnResult, learn
from genrl_ros.training.engine.fit import NetworkTraining, fit
from genrl_ros.training.engine.run import Progress, Run
from genrl_ros.training.model.pretrain import (
    train_connector,
    train_dynamics,
    train_nearness,
    train_prior,
    train_world_model,
)
from genrl_ros.world_model import noise
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.ranks import ALONE, Ranks, joined

SPEC = RobotSpec('toy', ('a', 'b', 'c'), (2.0, 2.0, 2.0), ('rad/s',) * 3, 0.08, 2, 12.5)
LEARN = LearnConfig(updates=4, starts=8, threads=1, critic_first=0)
STAGE = 'stage'
TOLERANCE = {'rtol': 2e-4, 'atol': 1e-6}
"""Sums are taken in another order, which is a matter of the last bits of float32; each update
multiplies what came before, and the curve is written with six digits."""
TINY = replace(
    model_preset('small', 3, 32), depth=4, stoch=4, classes=5, deter=16, hidden=24,
    units=16, layers=1,
)  # fmt: skip
EMBEDDER, TOKENIZER, DYNAMICS = 'e' * 64, 't' * 64, 'd' * 64


def make_store(path: Path, episodes: int = 6, poisoned: Iterable[int] = (), side: int = 4) -> Path:
    """A store of short episodes; the actions of poisoned ones are not numbers."""
    rng = np.random.default_rng(0)
    store = EpisodeStore.create(path, SPEC, 'test', 0)
    for index in range(episodes):
        action = rng.uniform(-1, 1, (12, 3)).astype(np.float32)
        if index in poisoned:
            action[:] = np.nan
        image = rng.integers(0, 256, (12, 3, side, side), np.uint8)
        state = rng.normal(size=(12, 4)).astype(np.float32)
        store.append(f'{index:06d}', Episode(image, action, state, 'random', str(index)))
    return path


def make_encoded_store(path: Path) -> Path:
    """The same with embeddings, latents and states, also of stills, all of them random."""
    store, rng = EpisodeStore.open(make_store(path, side=64)), np.random.default_rng(1)
    for episode in store.episode_ids:
        embed = rng.normal(size=(12, 32)).astype(np.float32)
        embed /= np.linalg.norm(embed, axis=-1, keepdims=True)
        embed[:7] = 0
        logits = rng.normal(size=(12, 4, 5)).astype(np.float16)
        deter = rng.normal(size=(12, TINY.deter)).astype(np.float16)
        shown = embed[None].repeat(STILLS, 0)[:, 4:]
        held = rng.normal(size=(STILLS, HELD, TINY.deter)).astype(np.float16)
        for file, tensors in (
            (store.embedding_path(EMBEDDER, episode), {'video': embed}),
            (store.logits_path(TOKENIZER, episode), {'logits': logits}),
            (store.states_path(DYNAMICS, episode), {'deter': deter}),
            (
                store.stills_path(EMBEDDER, episode),
                {'video': shown},
            ),
            (store.still_states_path(DYNAMICS, episode), {'deter': held}),
        ):
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, file)
    return path


def make_model(folder: Path) -> Path:
    """A world model that has learned nothing."""
    torch.manual_seed(0)
    write_model(folder, MFWM(TINY), SPEC, 'embedded', 'f' * 64, {'seed': 0, 'data': {'frames': 9}})
    return folder


@dataclass(frozen=True)
class Toy:
    """What to train.

    Attributes:
        data: the store.
        run: folder of the run.
        updates: in all.
        width: of the network; a wide one takes longer to write.
        record: how often it saves.
        optim: optimiser.
    """

    data: Path
    run: Path
    updates: int = 12
    width: int = 2
    record: RecordConfig = RecordConfig(report_every=2, save_every=4, picture_every=0)
    optim: OptimConfig = OptimConfig(lr=0.01, warmup=3, final_lr=0.1, ema=0.9)

    @property
    def curve(self) -> str:
        """Contents of the CSV file."""
        return (self.run / f'{STAGE}.csv').read_text()

    @property
    def checkpoint(self) -> Path:
        """The newest one."""
        return self.run / f'{STAGE}.safetensors'

    def train(
        self,
        ranks: Ranks = ALONE,
        on_progress: Callable[[Progress], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
        spoil: Callable[[Tensor], Tensor] = lambda loss: loss,
        pictures: Mapping[str, Strips] | None = None,
        seed: int = 0,
        built_on: str = '',
        settings: Mapping[str, Any] | None = None,
    ) -> nn.Module:
        """Train, or go on; `spoil` may change the loss."""
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(3, self.width), nn.Linear(self.width, 2))
        replay = Replay(EpisodeStore.open(self.data), 4, 5, seed=1)

        def loss(batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            action = batch['action']
            noisy = net(action) + noise.normal((*action.shape[:2], 2), action)
            value = spoil(noisy.square().mean())
            return value, {'error': value.detach()}

        run = Run(self.run, self.record, on_progress, should_stop, ranks, pictures=pictures or {})
        training = NetworkTraining(
            STAGE, net, loss, replay, self.updates, self.optim, run, built_on, settings
        )
        fit(training)
        return net


def rows(text: str) -> np.ndarray:
    """The numbers of a curve."""
    return np.array([list(map(float, row)) for row in list(csv.reader(io.StringIO(text)))[1:]])


def stop_after(calls: int) -> Callable[[], bool]:
    """Says yes from the given call on."""
    count = itertools.count(1)
    return lambda: next(count) >= calls


def processes() -> ForkServerContext:
    """Starts processes that have torch imported already."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['torch._dynamo', 'toy_training'])
    return context


Work = Callable[[Ranks], None]


def together(work: Work, world: int) -> list[str]:
    """Do work in processes as torchrun would start them; what each of them failed with, or ''."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    context = processes()
    ends: list[tuple[BaseProcess, Connection]] = []
    for rank in range(world):
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_as_rank, args=(work, rank, world, port, there))
        process.start()
        there.close()
        ends.append((process, here))
    said = [here.recv() for _, here in ends]
    for process, _ in ends:
        process.join()
    return said


def _as_rank(work: Work, rank: int, world: int, port: int, answer: Connection) -> None:
    os.environ |= {
        'RANK': str(rank), 'WORLD_SIZE': str(world), 'LOCAL_RANK': str(rank),
        'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port),
    }  # fmt: skip
    try:
        with joined('cpu') as ranks:
            work(ranks)
    except Exception as error:
        answer.send(f'{type(error).__name__}: {error}')
    else:
        answer.send('')


def fail_second(toy: Toy, ranks: Ranks) -> None:
    stop = stop_after(5)

    def spoil(loss: torch.Tensor) -> torch.Tensor:
        if ranks.rank == 1 and stop():
            raise ValueError('the second process has no memory left')
        return loss

    toy.train(ranks, spoil=spoil)


def stop_second(toy: Toy, ranks: Ranks) -> None:
    stop = stop_after(7)
    toy.train(ranks, should_stop=lambda: ranks.rank == 1 and stop())


def train_with_two_seeds(toy: Toy, ranks: Ranks) -> None:
    toy.train(ranks, seed=ranks.rank)


def train_tiny(data: Path, folder: Path, ranks: Ranks = ALONE) -> None:
    """All five stages, three updates each."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, store = MFWM(TINY), EpisodeStore.open(data)
    run = Run(folder, RecordConfig(report_every=1, picture_every=0), ranks=ranks)
    optim = OptimConfig(lr=1e-3, ema=0.9)
    train_world_model(
        model, Replay(store, 4, 8, 0), WorldModelConfig(updates=3, batch=4, optim=optim), run
    )
    for train, config in (
        (train_dynamics, DynamicsConfig(updates=3, optim=optim)),
        (train_connector, ConnectConfig(updates=3, optim=optim)),
    ):
        replay = Replay(store, 4, 8, 0, embedder=EMBEDDER, tokenizer=TOKENIZER)
        train(model, replay, config, run)  # type: ignore[arg-type]
    steps = StepReplay(store, 4, 5, 4, 0.9, 0, EMBEDDER, TOKENIZER, DYNAMICS)
    train_prior(model, steps, PriorConfig(updates=3, optim=optim), run)
    stretches = StretchReplay(store, 4, 0.5, 3, 0.5, 0, EMBEDDER, TOKENIZER, DYNAMICS)
    train_nearness(model, stretches, NearnessConfig(updates=3, optim=optim), run)


def learn_toy(
    model: Path,
    embedding: FloatArray,
    config: LearnConfig,
    out: Path,
    replay: Replay | None = None,
    export_early: bool = True,
    save_every: int = RECORD.save_every,
    **run: Any,
) -> LearnResult:
    """Learn what is called `task`; `run` are further fields of `Run`."""
    asked = Assignment(model, embedding, 'do it', 'task')
    where = Run(out, replace(RECORD, save_every=save_every), **run)
    return learn(asked, config, where, replay, export_early)


def learn_tiny(model: Path, out: Path, ranks: Ranks = ALONE) -> None:
    """Learn the policy of a prompt for a few updates."""
    config = LearnConfig(updates=12, starts=8, critic_first=2)
    embedding = np.eye(TINY.embed_dim, dtype=np.float32)[0]
    learn_toy(model, embedding, config, out, ranks=ranks)
