"""A store of 2.5 million frames that takes no room, and training on it under a watch on memory.

A module of its own, so that other processes can import it.
"""

from __future__ import annotations

import json
import os
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from genrl_ros.config.model import model_preset
from genrl_ros.config.training import RecordConfig, WorldModelConfig
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.store.replay import Replay
from genrl_ros.domains.base import RobotSpec
from genrl_ros.system.files import write_json
from genrl_ros.training.engine.run import Run
from genrl_ros.training.model.pretrain import train_world_model
from genrl_ros.world_model.mfwm import MFWM

SPEC = RobotSpec('sparse', tuple('abcdefghi'), (1.0,) * 9, (), 0.08, 2, 12.5)


def make_sparse_store(path: Path, episodes: int, frames: int) -> int:
    """Files with a header and a hole where the black images are; gives the bytes they seem."""
    store = EpisodeStore.create(path, SPEC, 'test', 0)
    sizes = {'image': (frames, 3, 64, 64), 'action': (frames, 9), 'state': (frames, 30)}
    header: dict[str, object] = {'__metadata__': {'format': 'x', 'kind': 'black', 'seed': '0'}}
    end = 0
    for name, shape in sizes.items():
        begin, dtype = end, 'U8' if name == 'image' else 'F32'
        end = begin + int(torch.Size(shape).numel()) * (1 if dtype == 'U8' else 4)
        header[name] = {'dtype': dtype, 'shape': shape, 'data_offsets': [begin, end]}
    text = json.dumps(header).encode()
    entry = {'frames': frames, 'kind': 'black', 'seed': '0'}
    for index in range(episodes):
        name = f'{index:06d}'
        with store.episode_path(name).open('wb') as file:
            file.write(len(text).to_bytes(8, 'little') + text)
            file.truncate(8 + len(text) + end)
        store.manifest['episodes'][name] = entry
    store.manifest |= {'frames': episodes * frames, 'kinds': {'black': episodes * frames}}
    write_json(path / 'manifest.json', store.manifest)
    return episodes * end


def peak_bytes() -> int:
    """The most memory of this process so far, mapped pages of files included."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith('VmHWM:'):
            return int(line.split()[1]) * 1024
    raise OSError('Linux does not tell')


def train_on(path: Path, run: Path, updates: int, cgroup: Path | None, answer: Connection) -> None:
    """Train the small preset at its own batch size; answers with the peak of memory."""
    if cgroup is not None:
        (cgroup / 'cgroup.procs').write_text(str(os.getpid()))
    torch.set_num_threads(1)
    store, sizes = EpisodeStore.open(path), WorldModelConfig(updates=updates)
    model = MFWM(model_preset('small', SPEC.action_dim))
    replay = Replay(store, sizes.batch, sizes.length, 0)
    train_world_model(model, replay, sizes, Run(run, RecordConfig(picture_every=0)))
    answer.send(peak_bytes())
