"""Faults of what is loaded and of what writes it."""

from __future__ import annotations

import itertools
import os
import pickle  # noqa: TID251 - made here to prove that nobody reads it
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genrl_ros.serving.policy.bundle import BundleError, load_bundle
from genrl_ros.serving.policy.runner import Encoder
from genrl_ros.system.files import sha256

T = 0.08


def refused(rig, bundle, says: str, **changes: object) -> float:
    """Announce a bad bundle while driving; the longest silence of commands meanwhile."""
    log = rig.folder / 'log' / 'policy_node.log'
    before, count = len(log.read_text()), len(rig.robot.commands)
    rig.announce(bundle, **changes)
    rig.until(lambda: 'refuses a policy' in log.read_text()[before:], 'a refusal')
    assert says in log.read_text()[before:]
    end = len(rig.robot.commands) + 5
    rig.until(lambda: len(rig.robot.commands) > end, 'more commands')
    commands = rig.robot.commands[count:]
    assert all(np.abs(command).max() > 0.4 for _, command in commands), 'the robot was held'
    return max(b[0] - a[0] for a, b in itertools.pairwise(commands))


@pytest.mark.row(9)
@pytest.mark.parametrize('name', ['policy.json', 'step.onnx', 'actor.onnx', 'encoder.onnx'])
@pytest.mark.parametrize('damage', ['bit flipped', 'truncated', 'missing'])
def fault_damaged_bundle(driving, make_bundle, measured, name, damage) -> None:
    bundle = make_bundle(action=-0.25)
    path = bundle.path / name
    content = bytearray(path.read_bytes())
    if damage == 'missing':
        path.unlink()
    elif damage == 'truncated':
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 0x10
        path.write_bytes(content)
    silence = refused(driving, bundle, str(bundle.path))
    if (name, damage) == ('actor.onnx', 'bit flipped'):
        measured(f'every file, 3 kinds of damage: refused by name; the policy in charge drives '
                 f'on, longest silence {silence * 1000:.0f} ms')  # fmt: skip
    assert silence < 2 * T + 0.1


@pytest.mark.row(10)
@pytest.mark.parametrize('name', ['policy.json', 'step.onnx', 'actor.onnx', 'encoder.onnx'])
def fault_malicious_pickle(driving, make_bundle, measured, tmp_path, name) -> None:
    canary = tmp_path / 'canary'

    class Evil:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (canary,)

    content = pickle.dumps(Evil())
    pickle.loads(content)
    assert canary.exists(), 'the pickle of this test works'
    canary.unlink()
    bundle = make_bundle(action=-0.25)
    (bundle.path / name).write_bytes(content)
    refused(driving, bundle, str(bundle.path))
    with pytest.raises(BundleError):
        Encoder.from_file(bundle.path / name)
    assert not canary.exists()
    if name == 'encoder.onnx':
        measured('under each file name of a bundle: refused, never unpickled')


@pytest.mark.row(11)
@pytest.mark.parametrize(
    ('changes', 'says'),
    [
        ({'control_dt_s': 0.05}, 'control_dt_s'),
        ({'image_size': 32}, 'image_size'),
        ({'action_names': tuple(f'j{i}' for i in range(9))}, 'action_names'),
        ({'action_scale': (3.0,) * 9}, 'action_scale is'),
        ({'action_scale': (1.0,) * 9}, 'action_scale'),
    ],
)
def fault_foreign_bundle(driving, make_bundle, measured, changes, says) -> None:
    refused(driving, make_bundle(action=-0.25, **changes), says)
    measured(f'{next(iter(changes))} differs: refused, naming it')


@pytest.mark.row(28)
@pytest.mark.parametrize('kind', ['endless loop', 'hour of work'])
def fault_policy_that_never_answers(
    driving, make_bundle, measured, endless_actor, slow_actor, kind
) -> None:
    actor, says = {
        'endless loop': (endless_actor, "the operator 'Loop'"),
        'hour of work': (slow_actor, 'not loaded and run once within 10 s'),
    }[kind]
    silence = refused(driving, make_bundle(graphs={'actor.onnx': actor}), says)
    measured(f'{kind}: refused, the policy in charge keeps driving, longest silence '
             f'{silence * 1000:.0f} ms')  # fmt: skip
    assert silence < 2 * T + 0.1
    driving.announce(make_bundle(action=0.5))
    driving.until(lambda: driving.robot.commands[-1][1][0] == 1.0, 'the next good policy')
    driving.announce(make_bundle(action=0.25))
    driving.until(lambda: driving.robot.commands[-1][1][0] == 0.5, 'the one after it')


@pytest.mark.row(12)
def fault_writer_killed_a_hundred_times(make_bundle, tmp_path, measured) -> None:
    rng = np.random.default_rng(3)
    whole = 0
    (tmp_path / 'policies').mkdir()
    for kill in range(100):
        child = os.fork()
        if child == 0:
            for number in itertools.count():
                make_bundle(task_id=f'k{kill}-n{number}')
        time.sleep(rng.uniform(0.0, 0.2))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for folder in (tmp_path / 'policies').glob('bundle-*'):
            load_bundle(folder)
            whole += 1
            folder.rename(tmp_path / f'{kill}-{folder.name}')
    measured(
        f'bundle writer killed 100 times at random: all {whole} bundles that appeared load; '
        'training itself: test/unit/test_kills.py (100 kills in `make test-full`)'
    )
    assert whole > 20


@pytest.mark.row(13)
def fault_disk_full(make_bundle, tmp_path, measured) -> None:
    first = make_bundle()
    before = {path.name: sha256(path) for path in sorted(first.path.iterdir())}
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
        try:
            make_bundle()
        except OSError:
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 3, 'the writer has to say that the disk is full'
    assert {path.name: sha256(path) for path in sorted(first.path.iterdir())} == before
    assert [folder for folder in first.path.parent.glob('bundle-*')] == [first.path]
    measured('a file that cannot grow: the writer fails with an OSError, nothing half-written '
             'appears, the bundle before is unchanged')  # fmt: skip
