"""Episodes on disk: a folder with a manifest, a file for each, and what was computed from them.

`manifest.json` says what is in it, and `manifest.journal` which episodes were added since it was
written; `episodes/<id>.safetensors` are the episodes, as `episode_file.py` describes them.
Embeddings of clips and latents of images lie beside them, one folder an embedder or a tokenizer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genrl_ros.data.store.episode_file import (
    FORMAT,
    Episode,
    EpisodeError,
    is_whole,
    map_tensor,
    read_header,
    write_episode,
)
from genrl_ros.data.store.journal import Journal
from genrl_ros.domains.base import RobotSpec
from genrl_ros.system.arrays import FloatArray, Image
from genrl_ros.system.files import read_json, write_json, write_tensors

HELD_OUT_PERCENT = 5
CLIP = 8
"""Frames of an embedded clip."""
JOURNAL = 'manifest.journal'
DERIVED = ('embeddings', 'latents', 'states', 'stills', 'still_states')
"""Folders of what is computed from episodes."""


class EpisodeStore:
    """A folder of episodes; make one with `create` or `open`."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self._journal = Journal(path / JOURNAL)

    @classmethod
    def create(cls, path: Path, spec: RobotSpec, command: str, seed: int) -> EpisodeStore:
        """Start an empty store, or take up one of the same domain and seed.

        Args:
            path: the folder.
            spec: the environment that the episodes are from.
            command: the command that makes the store.
            seed: the command's seed.

        Raises:
            EpisodeError: if the folder holds episodes of another domain or seed.
        """
        path = Path(path)
        if (path / 'manifest.json').exists():
            store = cls.open(path)
            held = store.spec.name, store.manifest['seed']
            if held != (spec.name, seed):
                raise EpisodeError(
                    f'{path} holds episodes of {held[0]} with seed {held[1]}; choose another '
                    'folder or remove it'
                )
            store.manifest['command'] = command
            store.seal()
            return store
        manifest = {
            'format': FORMAT,
            'robot': asdict(spec),
            'command': command,
            'seed': seed,
            'frames': 0,
            'kinds': {},
            'episodes': {},
        }
        (path / 'episodes').mkdir(parents=True, exist_ok=True)
        write_json(path / 'manifest.json', manifest)
        return cls(path, manifest)

    @classmethod
    def open(cls, path: Path) -> EpisodeStore:
        """Open a store, finished or still growing.

        Raises:
            EpisodeError: if there is no store, or not one that this version reads.
        """
        path = Path(path)
        file, journal = path / 'manifest.json', path / JOURNAL
        try:
            # In this order: what is sealed in between is in the manifest then.
            added = Journal(journal).read()
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise EpisodeError(f'{journal} cannot be read: {error}') from error
        try:
            manifest = read_json(file)
        except FileNotFoundError as error:
            raise EpisodeError(
                f'there is no dataset at {path}; make one with `genrl collect`'
            ) from error
        except (OSError, ValueError) as error:
            raise EpisodeError(f'{file} cannot be read: {error}') from error
        if not isinstance(manifest, dict) or manifest.get('format') != FORMAT:
            raise EpisodeError(f'{file} is not a manifest of format {FORMAT}')
        store = cls(path, manifest)
        try:
            for name, entry in added.items():
                store._enter(name, entry)
        except (AttributeError, KeyError, TypeError) as error:
            raise EpisodeError(f'{file} does not say what is in it: {error!r}') from error
        return store

    @classmethod
    def of(cls, domain: str, path: Path | None) -> EpisodeStore:
        """The dataset of a domain: in `data/DOMAIN` unless another folder is given.

        Raises:
            EpisodeError: as `open` does, if the episodes are of another domain, and if one is
                missing or damaged.
        """
        store = cls.open(path or Path('data') / domain)
        if store.spec.name != domain:
            raise EpisodeError(f'{store.path} is a dataset of {store.spec.name}, not of {domain}')
        store.check_episodes()
        return store

    @property
    def spec(self) -> RobotSpec:
        """The robot that the episodes are from.

        Raises:
            EpisodeError: if the manifest does not say it.
        """
        try:
            values = self.manifest.get('robot') or self.manifest['spec']  # of version 0.1.0
            return RobotSpec.from_dict(values)
        except (KeyError, TypeError, ValueError) as error:
            raise EpisodeError(f'{self.path / "manifest.json"} names no robot: {error}') from None

    def check_robot(self, spec: RobotSpec) -> None:
        """Check that the episodes are of the robot that a model is of.

        Raises:
            ValueError: saying what differs.
        """
        differences = self.spec.differences(spec)
        if differences:
            raise ValueError(
                f'{self.path} is of another robot than the model: {"; ".join(differences)}'
            )

    def has(self, name: str) -> bool:
        """Whether an episode is in the manifest, with a whole file of as many frames."""
        entry = self.manifest['episodes'].get(name)
        try:
            return entry is not None and len(self.image(name)) == entry['frames']
        except EpisodeError:
            return False

    def check_episodes(self) -> None:
        """Check that all episodes are there and whole, before hours of work with them.

        Raises:
            EpisodeError: naming one that is not, and the command that makes it again.
        """
        broken = [name for name in self.episode_ids if not self.has(name)]
        if broken:
            raise EpisodeError(
                f'{len(broken)} of {len(self.episode_ids)} episodes are missing or damaged, first '
                f'{self.episode_path(broken[0])}. Rerun the command that made '
                f'them; the last one was: {self.manifest["command"]}'
            )

    @property
    def identity(self) -> str:
        """sha256 of the manifest with all entries; of its file, once that is sealed."""
        return hashlib.sha256(f'{json.dumps(self.manifest, indent=2)}\n'.encode()).hexdigest()

    @property
    def origin(self) -> dict[str, Any]:
        """What stays the same when the store grows: its domain, and the seed it is made with."""
        return {'domain': self.spec.name, 'seed': self.manifest['seed']}

    @property
    def episode_ids(self) -> list[str]:
        """Ids of all episodes, in order."""
        return sorted(self.manifest['episodes'])

    @property
    def held_out(self) -> list[str]:
        """The episodes that training never sees, about 5 %, chosen by a hash of their id."""
        return [name for name in self.episode_ids if is_held_out(name)]

    @property
    def training(self) -> list[str]:
        """The episodes that are not held out."""
        return [name for name in self.episode_ids if not is_held_out(name)]

    @property
    def num_frames(self) -> int:
        """Frames of all episodes."""
        return int(self.manifest['frames'])

    def length(self, episode: str) -> int:
        """Frames of an episode."""
        return int(self.manifest['episodes'][episode]['frames'])

    def kind(self, episode: str) -> str:
        """What kind of behaviour an episode is."""
        return str(self.manifest['episodes'][episode]['kind'])

    def image(self, episode: str) -> Image:
        """Memory map `(T, 3, H, W)` uint8."""
        return map_tensor(self.episode_path(episode), 'image')

    def action(self, episode: str) -> FloatArray:
        """Memory map `(T, A)` float32."""
        return map_tensor(self.episode_path(episode), 'action')

    def state(self, episode: str) -> FloatArray:
        """Memory map `(T, Q)` float32; for probes, never for training."""
        return map_tensor(self.episode_path(episode), 'state')

    def embedding(self, identity: str, episode: str) -> FloatArray:
        """Memory map `(T, D)` float32; entry t is of frames t-7..t, the first seven are zero."""
        return map_tensor(self.embedding_path(identity, episode), 'video')

    def logits(self, tokenizer: str, episode: str) -> npt.NDArray[np.float16]:
        """Memory map `(T, S, K)` float16: posterior logits by the tokenizer of that identity."""
        return map_tensor(self.logits_path(tokenizer, episode), 'logits')

    def deter(self, dynamics: str, episode: str) -> npt.NDArray[np.float16]:
        """Memory map `(T, H)` float16: states by the world model of that identity."""
        return map_tensor(self.states_path(dynamics, episode), 'deter')

    def stills(self, identity: str, episode: str) -> FloatArray:
        """Memory map `(N, 8, D)` float32: clips that end with a frame held for 1 to 8 steps."""
        return map_tensor(self.stills_path(identity, episode), 'video')

    def still_states(self, dynamics: str, episode: str) -> npt.NDArray[np.float16]:
        """Memory map `(N, T, H)` float16: states while a frame is held, from the first step on."""
        return map_tensor(self.still_states_path(dynamics, episode), 'deter')

    def episode_path(self, episode: str) -> Path:
        """File of an episode."""
        return self.path / 'episodes' / f'{episode}.safetensors'

    def embedding_path(self, identity: str, episode: str) -> Path:
        """File of an episode's embeddings by the embedder of that identity."""
        return self.path / 'embeddings' / identity[:16] / f'{episode}.safetensors'

    def logits_path(self, tokenizer: str, episode: str) -> Path:
        """File of an episode's posterior logits by the tokenizer of that identity."""
        return self.path / 'latents' / tokenizer[:16] / f'{episode}.safetensors'

    def states_path(self, dynamics: str, episode: str) -> Path:
        """File of the states along an episode by the world model of that identity."""
        return self.path / 'states' / dynamics[:16] / f'{episode}.safetensors'

    def stills_path(self, identity: str, episode: str) -> Path:
        """File of the clips of an episode's frames held still, by that embedder."""
        return self.path / 'stills' / identity[:16] / f'{episode}.safetensors'

    def still_states_path(self, dynamics: str, episode: str) -> Path:
        """File of the states along an episode's frames held still, by that world model."""
        return self.path / 'still_states' / dynamics[:16] / f'{episode}.safetensors'

    def derive(
        self,
        ids: list[str] | None,
        place: Callable[[str], Path],
        tensors: Callable[[str], Mapping[str, npt.NDArray[Any]]],
    ) -> Iterator[int]:
        """Write what can be computed from each episode beside it, where it is not yet, or damaged.

        Args:
            ids: episodes to go through; all unless given.
            place: the file that belongs to an episode.
            tensors: computes what is in it.

        Yields:
            The number of frames of each episode, once it is done.

        Raises:
            OSError: naming the file that cannot be written.
        """
        for episode in self.episode_ids if ids is None else ids:
            path = place(episode)
            if not is_whole(path):
                write_tensors(path, tensors(episode))
            yield self.length(episode)

    def append(self, name: str, episode: Episode) -> None:
        """Write an episode and enter it in the manifest."""
        write_episode(self.episode_path(name), episode)
        self.register(name)

    def register(self, name: str) -> None:
        """Enter an episode whose file is written already; `seal` puts it into the manifest.

        Raises:
            EpisodeError: if the file is missing or damaged.
        """
        header = read_header(self.episode_path(name))
        frames = header.places['image'].shape[0]
        entry = {'frames': frames, **{key: header.metadata[key] for key in ('kind', 'seed')}}
        self._journal.add(name, entry)
        self._enter(name, entry)

    def made_from(self, seed: str) -> list[str]:
        """Ids of the episodes that were made from one thing, such as a bag, in order."""
        entries = self.manifest['episodes']
        return [name for name in self.episode_ids if entries[name]['seed'] == seed]

    def remove(self, names: Iterable[str]) -> None:
        """Take episodes out, and what was computed from them."""
        self.seal()  # a journal would bring them back
        gone = [name for name in names if name in self.manifest['episodes']]
        for name in gone:
            self._enter(name, None)
        self.seal()
        for name in gone:
            self.episode_path(name).unlink(missing_ok=True)
            for kind in DERIVED:
                for file in self.path.glob(f'{kind}/*/{name}.safetensors'):
                    file.unlink()

    def seal(self) -> None:
        """Write the manifest with all entries; what adds episodes does this in the end."""
        write_json(self.path / 'manifest.json', self.manifest)
        self._journal.remove()

    def _enter(self, name: str, entry: dict[str, Any] | None) -> None:
        """Put the entry of an episode in place of the one before; None takes it out."""
        episodes, kinds = self.manifest['episodes'], self.manifest['kinds']
        for each, sign in ((episodes.get(name), -1), (entry, 1)):
            if each is not None:
                kinds[each['kind']] = kinds.get(each['kind'], 0) + sign * each['frames']
                self.manifest['frames'] += sign * each['frames']
        if entry is None:
            episodes.pop(name, None)
        else:
            episodes[name] = entry
        self.manifest['kinds'] = {kind: kinds[kind] for kind in sorted(kinds) if kinds[kind]}


def is_held_out(episode: str) -> bool:
    """Whether an episode is kept from training; the same for an id in every dataset."""
    digest = hashlib.sha256(episode.encode()).digest()
    return int.from_bytes(digest[:8], 'big') % 100 < HELD_OUT_PERCENT
