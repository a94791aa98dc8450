"""The policy bundle: a folder with all that a robot needs to act, and nothing that runs code.

Three ONNX graphs, or four, and one JSON file. Whoever writes one calls `write_bundle`, so that a
bundle is either complete or not there; whoever reads one calls `load_bundle`, which checks every
promise of the JSON file before a graph is touched.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genrl_ros.domains.base import IMAGE_SIZE, RobotSpec
from genrl_ros.system.files import atomic_folder, read_at_most

FORMAT_VERSION = 1
MANIFEST = 'policy.json'
ENCODER, STEP, ACTOR = 'encoder.onnx', 'step.onnx', 'actor.onnx'
GRAPHS = (ENCODER, STEP, ACTOR)
GOAL = 'goal.onnx'
"""How well latents match the goal; not there where a goal is nothing to stop at."""
MAX_MANIFEST_BYTES = 64 * 1024
MAX_GRAPH_BYTES = 256 * 1024 * 1024


class BundleError(ValueError):
    """A policy bundle cannot be used; the message says which file, and why."""


@dataclass(frozen=True)
class PolicyDescription:
    """What a policy is for and which robot it fits: what its maker says in `policy.json`.

    Attributes:
        domain: the domain that its world model knows, such as `kitchen`.
        task_id: the task as `set_task` answered it.
        prompt: the task in words.
        image_size: height and width of the camera image, in pixels.
        action_names: one name a channel (joint names), in the order of the action vector.
        action_scale: physical units (rad/s) that an action of 1.0 stands for, one a channel.
        control_dt_s: seconds between two commands.
        action_repeat: commands that one action lasts.
        stoch: categoricals S of a latent state.
        classes: classes K of each categorical.
        deter: size H of the sequence model's hidden state.
        mfwm: sha256 of the world model that it was learned in.
        updates: actor-critic updates that it has had.
        imagined_reward: mean reward of a step in its last dreams, in [-1, 1].
        attempt_steps: agent steps after which it ends; 0 where it is not said.
    """

    domain: str
    task_id: str
    prompt: str
    image_size: int
    action_names: tuple[str, ...]
    action_scale: tuple[float, ...]
    control_dt_s: float
    action_repeat: int
    stoch: int
    classes: int
    deter: int
    mfwm: str
    updates: int
    imagined_reward: float
    attempt_steps: int = 0

    def __post_init__(self) -> None:
        for name in ('image_size', 'action_repeat', 'stoch', 'classes', 'deter'):
            if getattr(self, name) < 1:
                raise BundleError(f'"{name}" must be at least 1, but is {getattr(self, name)}')
        if self.attempt_steps < 0:
            raise BundleError(f'"attempt_steps" must not be negative: {self.attempt_steps}')
        if not self.action_names or len(set(self.action_names)) != len(self.action_names):
            raise BundleError('"action_names" must name every channel once')
        if len(self.action_scale) != len(self.action_names):
            raise BundleError(
                f'"action_scale" has {len(self.action_scale)} values for '
                f'{len(self.action_names)} action names'
            )
        for name, values in (
            ('control_dt_s', (self.control_dt_s,)),
            ('action_scale', self.action_scale),
        ):
            if not all(math.isfinite(value) and value > 0 for value in values):
                raise BundleError(f'"{name}" must be positive and finite, but is {values}')

    @property
    def action_dim(self) -> int:
        """Number of channels A of the action vector."""
        return len(self.action_names)

    @property
    def robot(self) -> RobotSpec:
        """The robot that it was learned for; units and camera rate are not known."""
        return RobotSpec(
            self.domain, self.action_names, self.action_scale, (), self.control_dt_s,
            self.action_repeat, 0.0,
        )  # fmt: skip


@dataclass(frozen=True)
class PolicyBundle:
    """A bundle in memory, whose files are proven to be the ones that its `policy.json` names.

    Attributes:
        path: the folder that it came from.
        sha256: of `policy.json`, which holds the hashes of all other files: names the bundle.
        encoder_sha256: of the encoder; latents of any other encoder mean nothing to this policy.
        created: when it was written, ISO 8601 in UTC.
        description: what it is for.
        graphs: the ONNX graphs as bytes, by file name.
    """

    path: Path
    sha256: str
    encoder_sha256: str
    created: str
    description: PolicyDescription
    graphs: Mapping[str, bytes]


def write_bundle(
    folder: Path, description: PolicyDescription, graphs: Mapping[str, bytes]
) -> PolicyBundle:
    """Write a bundle: all of it, or nothing.

    Args:
        folder: where it will be; must not exist yet.
        description: what it is for.
        graphs: the serialized ONNX graphs, by the names in `GRAPHS`, and `GOAL` if there is one.

    Raises:
        BundleError: if a graph is missing or the folder exists.
    """
    if set(graphs) - {GOAL} != set(GRAPHS):
        raise BundleError(f'a bundle has the graphs {GRAPHS}, not {tuple(sorted(graphs))}')
    fields = asdict(description)
    learning = {name: fields.pop(name) for name in ('updates', 'imagined_reward')}
    created = datetime.now(UTC).isoformat(timespec='seconds')
    hashes = {name: _sha256(graph) for name, graph in graphs.items()}
    manifest = json.dumps(
        {
            'format_version': FORMAT_VERSION,
            **fields,
            'encoder_sha256': hashes[ENCODER],
            'files': {
                name: {'sha256': hashes[name], 'bytes': len(graph)}
                for name, graph in graphs.items()
            },
            'created': created,
            'learning': learning,
        },
        indent=2,
    ).encode()
    try:
        with atomic_folder(folder) as unfinished:
            for name, content in {**graphs, MANIFEST: manifest}.items():
                (unfinished / name).write_bytes(content)
    except FileExistsError:
        raise BundleError(f'{folder} exists already; a bundle is never overwritten') from None
    return PolicyBundle(
        path=folder,
        sha256=_sha256(manifest),
        encoder_sha256=hashes[ENCODER],
        created=created,
        description=description,
        graphs=dict(graphs),
    )


def load_bundle(path: Path, robot: RobotSpec | None = None) -> PolicyBundle:
    """Read a bundle and check all that it says.

    Every file is read once, and the bytes that were checked are the bytes that are used.

    Args:
        path: the bundle's folder.
        robot: the robot that it has to fit; None to take any.

    Raises:
        BundleError: if a file is missing, damaged or not as announced, if a field is missing or
            makes no sense, or if the bundle was made for another robot.
    """
    path = Path(path)
    if not path.is_dir():
        raise BundleError(f'{path} is not a folder, so it cannot be a policy bundle')
    raw = _read(path / MANIFEST, MAX_MANIFEST_BYTES)
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BundleError(f'{path / MANIFEST} is not JSON: {error}') from None
    if not isinstance(manifest, dict):
        raise BundleError(f'{path / MANIFEST} must hold an object')
    try:
        description, encoder_sha256, created, files = _parse(manifest)
    except BundleError as error:
        raise BundleError(f'{path / MANIFEST}: {error}') from None
    graphs = {}
    for name, (size, digest) in files.items():
        graphs[name] = _read(path / name, MAX_GRAPH_BYTES)
        if len(graphs[name]) != size:
            raise BundleError(
                f'{path / name} has {len(graphs[name])} bytes where {MANIFEST} says {size}: '
                'it is incomplete or was changed'
            )
        if _sha256(graphs[name]) != digest:
            raise BundleError(
                f'{path / name} is not the file that {MANIFEST} names: sha256 differs'
            )
    if files[ENCODER][1] != encoder_sha256:
        raise BundleError(f'{path / MANIFEST}: "encoder_sha256" is not the hash of {ENCODER}')
    if robot is not None:
        _check_robot(path, description, robot)
    return PolicyBundle(path, _sha256(raw), encoder_sha256, created, description, graphs)


def _parse(
    manifest: dict[str, Any],
) -> tuple[PolicyDescription, str, str, dict[str, tuple[int, str]]]:
    version = _field(manifest, 'format_version', int)
    if version != FORMAT_VERSION:
        raise BundleError(
            f'its format version is {version}, this program reads {FORMAT_VERSION}; '
            'learn the policy again with this version'
        )
    learning = _field(manifest, 'learning', dict)
    files = _field(manifest, 'files', dict)
    records = {}
    for name in (*GRAPHS, *((GOAL,) if GOAL in files else ())):
        record = _field(files, name, dict)
        records[name] = (_field(record, 'bytes', int), _field(record, 'sha256', str))
    description = PolicyDescription(
        domain=_field(manifest, 'domain', str),
        task_id=_field(manifest, 'task_id', str),
        prompt=_field(manifest, 'prompt', str),
        image_size=_field(manifest, 'image_size', int),
        action_names=_tuple(manifest, 'action_names', str),
        action_scale=_tuple(manifest, 'action_scale', float),
        control_dt_s=_field(manifest, 'control_dt_s', float),
        action_repeat=_field(manifest, 'action_repeat', int),
        stoch=_field(manifest, 'stoch', int),
        classes=_field(manifest, 'classes', int),
        deter=_field(manifest, 'deter', int),
        mfwm=_field(manifest, 'mfwm', str),
        updates=_field(learning, 'updates', int),
        # bundles before this release told a bootstrapped return, which is no reward
        imagined_reward=_field({'imagined_reward': 0.0, **learning}, 'imagined_reward', float),
        attempt_steps=_field({'attempt_steps': 0, **manifest}, 'attempt_steps', int),
    )
    return (
        description,
        _field(manifest, 'encoder_sha256', str),
        _field(manifest, 'created', str),
        records,
    )


_KINDS = {int: 'a whole number', float: 'a number', str: 'text', dict: 'an object', list: 'a list'}


def _field(record: dict[str, Any], name: str, kind: type) -> Any:
    if name not in record:
        raise BundleError(f'"{name}" is missing')
    value = record[name]
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise BundleError(f'"{name}" must be {_KINDS[kind]}, but is {str(value)[:40]!r}')
    return value


def _tuple(record: dict[str, Any], name: str, kind: type) -> tuple[Any, ...]:
    values = _field(record, name, list)
    return tuple(_field({name: value}, name, kind) for value in values)


def _check_robot(path: Path, description: PolicyDescription, robot: RobotSpec) -> None:
    differences = description.robot.differences(robot)
    if description.image_size != IMAGE_SIZE:
        differences.append(f'image_size is {description.image_size} against {IMAGE_SIZE}')
    if differences:
        raise BundleError(f'{path} was made for another robot: {"; ".join(differences)}')


def _read(path: Path, limit: int) -> bytes:
    try:
        return read_at_most(path, limit)
    except OSError as error:
        raise BundleError(f'{path} cannot be read: {error.strerror}') from None
    except ValueError as error:
        raise BundleError(str(error)) from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
