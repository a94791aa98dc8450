"""Gives each test the marker of its folder (its tier) and its own ROS domain.

And the fixtures of several tiers: tiny ONNX graphs and policy bundles, made without torch.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from genrl_ros.cli.discovery import private_domain
from genrl_ros.serving.policy.bundle import PolicyBundle, PolicyDescription, write_bundle

# Processes that tests start do not look into the current folder: `-P`. So the checkout is named.
os.environ['PYTHONPATH'] = os.pathsep.join(
    filter(None, (str(Path(__file__).parents[1]), os.environ.get('PYTHONPATH')))
)
# Before torch is imported: threads that wait for each other make small tests slow.
os.environ.setdefault('OMP_NUM_THREADS', '1')

TIERS = ('unit', 'sim', 'ros', 'launch')
ROOT = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    has_launch = importlib.util.find_spec('launch_ros') is not None
    for item in items:
        tier = item.path.relative_to(ROOT).parts[0]
        if tier in TIERS:
            item.add_marker(getattr(pytest.mark, tier))
        if tier == 'launch' and not has_launch:
            item.add_marker(
                pytest.mark.skip(reason='launch_ros is not installed: it needs a ROS installation')
            )


@pytest.fixture(autouse=True)
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A ROS domain of this test's own, on the loopback; child processes inherit it.

    It stays taken meanwhile, so that another run of the tests beside this one takes others.
    """
    monkeypatch.delenv('ROS_DOMAIN_ID', raising=False)
    with private_domain() as environment:
        for name in ('ROS_DOMAIN_ID', 'ROS_AUTOMATIC_DISCOVERY_RANGE'):
            monkeypatch.setenv(name, environment[name])
        yield int(environment['ROS_DOMAIN_ID'])


STOCH, CLASSES, DETER = 4, 5, 6
JOINTS = tuple(
    [f'panda_joint{i}' for i in range(1, 8)] + ['panda_finger_joint1', 'panda_finger_joint2']
)


def _serialize(nodes, inputs, outputs, constants) -> bytes:
    graph = helper.make_graph(
        nodes,
        'tiny',
        [helper.make_tensor_value_info(*tensor) for tensor in inputs],
        [helper.make_tensor_value_info(*tensor) for tensor in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def encoder_graph(seed: int = 0, image_size: int = 64) -> bytes:
    """Mean colour, through a random matrix."""
    rng = np.random.default_rng(seed)
    return _serialize(
        [
            helper.make_node('Cast', ['image'], ['pixels'], to=TensorProto.FLOAT),
            helper.make_node('Reshape', ['pixels', 'colours'], ['rows']),
            helper.make_node('MatMul', ['rows', 'mean'], ['colour']),
            helper.make_node('MatMul', ['weight', 'colour'], ['flat']),
            helper.make_node('Reshape', ['flat', 'shape'], ['logits']),
        ],
        [('image', TensorProto.UINT8, [1, 3, image_size, image_size])],
        [('logits', TensorProto.FLOAT, [1, STOCH, CLASSES])],
        {
            'weight': rng.normal(size=(3, STOCH * CLASSES)).astype(np.float32).T.copy(),
            'colours': np.array([3, image_size**2]),
            'mean': np.full((image_size**2, 1), 1 / image_size**2, np.float32),
            'shape': np.array([1, STOCH, CLASSES]),
        },
    )


def step_graph(action_dim: int = 9) -> bytes:
    """`deter_next` = deter + sum of tokens + sum of action: easy to follow by hand."""
    return _serialize(
        [
            helper.make_node('Cast', ['tokens'], ['token_values'], to=TensorProto.FLOAT),
            helper.make_node('MatMul', ['token_values', 'of_tokens'], ['token_sum']),
            helper.make_node('MatMul', ['action', 'of_actions'], ['action_sum']),
            helper.make_node('Add', ['token_sum', 'action_sum'], ['change']),
            helper.make_node('Add', ['deter', 'change'], ['deter_next']),
        ],
        [
            ('tokens', TensorProto.INT64, [1, STOCH]),
            ('action', TensorProto.FLOAT, [1, action_dim]),
            ('deter', TensorProto.FLOAT, [1, DETER]),
        ],
        [('deter_next', TensorProto.FLOAT, [1, DETER])],
        {
            'of_tokens': np.ones((STOCH, 1), np.float32),
            'of_actions': np.ones((action_dim, 1), np.float32),
        },
    )


SEEN = 0.01
"""What `watched` graphs make of the first hidden number: a hundredth."""


def _watching(action_dim: int, watched: bool) -> np.ndarray:
    weight = np.zeros((DETER, action_dim), np.float32)
    weight[0] = SEEN * watched
    return weight


def actor_graph(action: float = 0.25, action_dim: int = 9, watched: bool = False) -> bytes:
    """Always the same action; if it is watched, plus what the hidden state is."""
    return _serialize(
        [
            helper.make_node('Cast', ['tokens'], ['token_values'], to=TensorProto.FLOAT),
            helper.make_node('MatMul', ['token_values', 'from_tokens'], ['a']),
            helper.make_node('MatMul', ['deter', 'from_deter'], ['b']),
            helper.make_node('Add', ['a', 'b'], ['sum']),
            helper.make_node('Add', ['sum', 'bias'], ['action']),
        ],
        [('tokens', TensorProto.INT64, [1, STOCH]), ('deter', TensorProto.FLOAT, [1, DETER])],
        [('action', TensorProto.FLOAT, [1, action_dim])],
        {
            'from_tokens': np.zeros((STOCH, action_dim), np.float32),
            'from_deter': _watching(action_dim, watched),
            'bias': np.full((1, action_dim), action, np.float32),
        },
    )


def goal_graph() -> bytes:
    """1 where the first token is 0, and less by its number else."""
    return _serialize(
        [
            helper.make_node('Cast', ['tokens'], ['values'], to=TensorProto.FLOAT),
            helper.make_node('MatMul', ['values', 'first'], ['away']),
            helper.make_node('Sub', ['one', 'away'], ['match']),
        ],
        [('tokens', TensorProto.INT64, [1, STOCH])],
        [('match', TensorProto.FLOAT, [1, 1])],
        {
            'first': np.eye(STOCH, 1, dtype=np.float32),
            'one': np.ones((1, 1), np.float32),
        },
    )


def picky_actor_graph(action_dim: int = 9, watched: bool = False) -> bytes:
    """The action 0.25, as `actor_graph`, but it cannot be run with the last class of a token."""
    return _serialize(
        [
            helper.make_node('Gather', ['table', 'tokens'], ['rows']),
            helper.make_node('MatMul', ['mean', 'rows'], ['means']),
            helper.make_node('Reshape', ['means', 'shape'], ['always']),
            helper.make_node('MatMul', ['deter', 'from_deter'], ['seen']),
            helper.make_node('Add', ['always', 'seen'], ['action']),
        ],
        [('tokens', TensorProto.INT64, [1, STOCH]), ('deter', TensorProto.FLOAT, [1, DETER])],
        [('action', TensorProto.FLOAT, [1, action_dim])],
        {
            'from_deter': _watching(action_dim, watched),
            'table': np.full((CLASSES - 1, action_dim), 0.25, np.float32),
            'mean': np.full((1, STOCH), 1 / STOCH, np.float32),
            'shape': np.array([1, action_dim]),
        },
    )


def shapeless_actor_graph(action_dim: int = 9) -> bytes:
    """As many actions as tokens are not 0, whatever it declares."""
    return _serialize(
        [
            helper.make_node('Cast', ['tokens'], ['are_set'], to=TensorProto.BOOL),
            helper.make_node('Cast', ['are_set'], ['ones'], to=TensorProto.FLOAT),
            helper.make_node('MatMul', ['ones', 'sum'], ['counts']),
            helper.make_node('Cast', ['counts'], ['count'], to=TensorProto.INT64),
            helper.make_node('Reshape', ['count', 'one'], ['end']),
            helper.make_node('Slice', ['actions', 'start', 'end', 'one'], ['action']),
        ],
        [('tokens', TensorProto.INT64, [1, STOCH]), ('deter', TensorProto.FLOAT, [1, DETER])],
        [('action', TensorProto.FLOAT, [1, action_dim])],
        {
            'sum': np.ones((STOCH, 1), np.float32),
            'start': np.array([0]),
            'one': np.array([1]),
            'actions': np.full((1, action_dim), 0.25, np.float32),
        },
    )


def endless_actor_graph(action_dim: int = 9) -> bytes:
    """Loops for ever."""
    body = helper.make_graph(
        [
            helper.make_node('Identity', ['goes_on'], ['goes_on_still']),
            helper.make_node('Identity', ['value'], ['same']),
        ],
        'body',
        [
            helper.make_tensor_value_info('number', TensorProto.INT64, []),
            helper.make_tensor_value_info('goes_on', TensorProto.BOOL, []),
            helper.make_tensor_value_info('value', TensorProto.FLOAT, [1, action_dim]),
        ],
        [
            helper.make_tensor_value_info('goes_on_still', TensorProto.BOOL, []),
            helper.make_tensor_value_info('same', TensorProto.FLOAT, [1, action_dim]),
        ],
    )
    return _serialize(
        [helper.make_node('Loop', ['', 'true', 'value'], ['action'], body=body)],
        [('tokens', TensorProto.INT64, [1, STOCH]), ('deter', TensorProto.FLOAT, [1, DETER])],
        [('action', TensorProto.FLOAT, [1, action_dim])],
        {'true': np.array(True), 'value': np.full((1, action_dim), 0.25, np.float32)},
    )


def slow_actor_graph(action_dim: int = 9, size: int = 1024, products: int = 4000) -> bytes:
    """Of nothing but what a policy may have, and works for an hour: products of large matrices."""
    chain = [
        helper.make_node('MatMul', [f'x{number}', 'weight'], [f'x{number + 1}'])
        for number in range(products)
    ]
    return _serialize(
        [
            helper.make_node('MatMul', ['deter', 'wide'], ['row']),
            helper.make_node('Add', ['row', 'weight'], ['x0']),
            *chain,
            helper.make_node('Slice', [f'x{products}', 'zero', 'end', 'axes'], ['action']),
        ],
        [('tokens', TensorProto.INT64, [1, STOCH]), ('deter', TensorProto.FLOAT, [1, DETER])],
        [('action', TensorProto.FLOAT, [1, action_dim])],
        {
            'wide': np.zeros((DETER, size), np.float32),
            'weight': np.eye(size, dtype=np.float32),
            'zero': np.array([0, 0]),
            'end': np.array([1, action_dim]),
            'axes': np.array([0, 1]),
        },
    )


def greedy_actor_graph(action_dim: int = 9, size: int = 300_000) -> bytes:
    """A row plus a column is a square: 7 MB of weights become 360 GB."""
    return _serialize(
        [
            helper.make_node('MatMul', ['deter', 'wide'], ['row']),
            helper.make_node('Transpose', ['row'], ['column']),
            helper.make_node('Add', ['row', 'column'], ['square']),
            helper.make_node('Slice', ['square', 'zero', 'end', 'axes'], ['action']),
        ],
        [('tokens', TensorProto.INT64, [1, STOCH]), ('deter', TensorProto.FLOAT, [1, DETER])],
        [('action', TensorProto.FLOAT, [1, action_dim])],
        {
            'wide': np.zeros((DETER, size), np.float32),
            'zero': np.array([0, 0]),
            'end': np.array([1, action_dim]),
            'axes': np.array([0, 1]),
        },
    )


@pytest.fixture(scope='session')
def greedy_actor() -> bytes:
    return greedy_actor_graph()


@pytest.fixture(scope='session')
def goal_bytes() -> bytes:
    return goal_graph()


@pytest.fixture(scope='session')
def picky_actor() -> bytes:
    return picky_actor_graph()


@pytest.fixture(scope='session')
def watched_actors() -> dict[str, bytes]:
    """A plain and a picky one that add a hundredth of the first hidden number to their action."""
    return {'plain': actor_graph(watched=True), 'picky': picky_actor_graph(watched=True)}


@pytest.fixture(scope='session')
def shapeless_actor() -> bytes:
    return shapeless_actor_graph()


@pytest.fixture(scope='session')
def endless_actor() -> bytes:
    return endless_actor_graph()


@pytest.fixture(scope='session')
def slow_actor() -> bytes:
    return slow_actor_graph()


@pytest.fixture(scope='session')
def encoder_bytes() -> bytes:
    return encoder_graph()


@pytest.fixture(scope='session')
def other_encoder_bytes() -> bytes:
    return encoder_graph(seed=1)


@pytest.fixture
def description() -> PolicyDescription:
    return PolicyDescription(
        domain='kitchen',
        task_id='20261122-120000-open-the-microwave',
        prompt='open the microwave',
        image_size=64,
        action_names=JOINTS,
        action_scale=(2.0,) * len(JOINTS),
        control_dt_s=0.08,
        action_repeat=2,
        stoch=STOCH,
        classes=CLASSES,
        deter=DETER,
        mfwm='0' * 64,
        updates=10,
        imagined_reward=1.5,
    )


@pytest.fixture
def make_bundle(
    tmp_path: Path, description: PolicyDescription, encoder_bytes: bytes
) -> Callable[..., PolicyBundle]:
    """Write a tiny bundle; `action` is what its policy always answers."""
    numbers = itertools.count()

    def make(
        action: float = 0.25, graphs: dict[str, bytes] | None = None, **changes: object
    ) -> PolicyBundle:
        about = dataclasses.replace(description, **changes)
        return write_bundle(
            tmp_path / 'policies' / f'bundle-{next(numbers)}',
            about,
            {
                'encoder.onnx': encoder_bytes,
                'step.onnx': step_graph(about.action_dim),
                'actor.onnx': actor_graph(action, about.action_dim),
            }
            | (graphs or {}),
        )

    return make
