"""What every domain keeps to, and that a new one takes one module, one recipe and one line."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from genrl_ros.config.learning import RewardKind
from genrl_ros.deploy.robot import load_robot
from genrl_ros.domains import registry
from genrl_ros.domains.base import Domain

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
STEPS = 12
TIMEOUT_S = 120.0


@pytest.fixture(scope='module', params=registry.names())
def domain(request: pytest.FixtureRequest) -> Domain:
    return registry.get(request.param)


def rollout(domain: Domain, task: str, seed: int) -> tuple[np.ndarray, np.ndarray, list[float]]:
    environment = registry.make_environment(domain, task)
    rng = np.random.default_rng(0)
    images, rewards = [environment.reset(seed)], []
    for _ in range(STEPS):
        step = environment.step(rng.uniform(-1, 1, domain.robot.action_dim))
        images.append(step.image)
        rewards.append(step.reward)
    state = environment.physics.state()
    environment.close()
    return np.stack(images), state, rewards


def test_every_task_resets_steps_stays_finite_and_repeats_with_its_seed(domain: Domain) -> None:
    for task in domain.tasks:
        images, state, rewards = rollout(domain, task.name, 3)
        again = rollout(domain, task.name, 3)
        np.testing.assert_array_equal(images, again[0])
        np.testing.assert_array_equal(state, again[1])
        assert images.shape == (STEPS + 1, 3, 64, 64) and images.dtype == np.uint8
        assert np.isfinite(state).all()
        assert all(0 <= reward <= domain.robot.action_repeat for reward in rewards)
        assert np.abs(images[-1].astype(int) - images[0]).max() > 16, 'the camera sees no motion'


def test_a_recorded_state_has_the_rewards_that_it_had(domain: Domain) -> None:
    environment = registry.make_environment(domain)
    logics = [registry.task_logic(domain, task.name) for task in domain.tasks]
    environment.reset(5)
    rng, states, rewards = np.random.default_rng(0), [], []
    for _ in range(STEPS):
        environment.step(rng.uniform(-1, 1, domain.robot.action_dim))
        states.append(environment.physics.state().astype(np.float32))
        rewards.append([logic.reward(environment.physics) for logic in logics])
    for state, expected in zip(states, rewards, strict=True):
        environment.physics.restore(state)
        np.testing.assert_allclose(environment.physics.state(), state, atol=1e-5)
        again = [logic.reward(environment.physics) for logic in logics]
        assert again == pytest.approx(expected, abs=1e-4)
    environment.close()


def test_the_simulator_tells_every_reading_and_fits_its_embodiment(domain: Domain) -> None:
    physics = registry.make_physics(domain)
    physics.reset(0)
    assert set(physics.readings()) == {reading.name for reading in domain.readings}
    for reading in domain.readings:
        assert reading.state is None or reading.state < len(physics.state())
    robot = load_robot(domain.name)
    assert robot.spec() == domain.robot
    assert robot.episode_steps == domain.episode_steps
    joints = physics.joints()
    robot.measured(joints.names, joints.position, joints.velocity)
    before = physics.readings()
    for _ in range(5):
        physics.hold()
    assert physics.readings() == pytest.approx(before, abs=0.05)
    physics.close()


def test_scores_are_between_random_and_expert(domain: Domain) -> None:
    for task in domain.tasks:
        assert domain.task_of(task.prompt) is task
        assert task.split in ('seen', 'new')


def test_nothing_outside_of_a_domain_names_it() -> None:
    """Defaults and examples in help and docstrings aside: those are about one of several."""
    names = '|'.join(registry.names())
    allowed = re.compile(
        rf"parameter\(|metavar|e\.g\.|such as|genrl [a-z-]+ ({names})|'({names})',"
    )
    found = []
    for file in sorted((ROOT / 'genrl_ros').rglob('*.py')):
        if (ROOT / 'genrl_ros' / 'domains') in file.parents:
            continue
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if re.search(rf'\b({names})\b', line) and not allowed.search(line):
                found.append(f'{file.relative_to(ROOT)}:{number}: {line.strip()}')
    assert not found, '\n'.join(found)


RECIPE = """
collect: {frames: 420, seed: 3}
pretrain:
  world_model: {updates: 2, batch: 2, length: 8}
  dynamics: {updates: 2, batch: 2, length: 8}
  connect: {updates: 2, batch: 2, length: 8}
  prior: {updates: 2, batch: 2}
  nearness: {updates: 2, batch: 2}
learning: {updates: 1, starts: 4, horizon: 9}
"""


@pytest.fixture(scope='module')
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with one domain more: a module, a recipe and a line."""
    root = tmp_path_factory.mktemp('checkout')
    for folder in ('genrl_ros', 'config', 'sim', 'models/embedder'):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copyfile(ROOT / 'package.xml', root / 'package.xml')
    shutil.copyfile(HERE / 'slider.py', root / 'genrl_ros' / 'domains' / 'slider.py')
    (root / 'config' / 'train' / 'slider.yaml').write_text(RECIPE)
    table = root / 'genrl_ros' / 'domains' / 'registry.py'
    line = "    'slider': 'genrl_ros.domains.slider:DOMAIN',\n"
    code = table.read_text()
    table.write_text(code.replace('DOMAINS = {\n', f'DOMAINS = {{\n{line}', 1))
    return root


def genrl(checkout: Path, *words: str) -> str:
    """What a command of the copy says."""
    done = subprocess.run(
        [sys.executable, '-m', 'genrl_ros.cli.main', *words],
        cwd=checkout,
        env={**os.environ, 'PYTHONPATH': str(checkout)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, f'{words}\n{done.stdout}\n{done.stderr}'
    return done.stdout


def test_a_new_domain_is_collected_trained_learned_and_driven(checkout: Path) -> None:
    assert '420 frames in 20 episodes' in genrl(checkout, 'collect', 'slider')
    genrl(checkout, 'pretrain', 'slider', '--run', 'run')
    genrl(checkout, 'connect', 'slider', '--model', 'run/model', '--run', 'again')
    model = str(checkout / 'again' / 'model')
    audited = genrl(checkout, 'audit', 'slider', '--model', model, '--clips', '20')
    assert audited.count('right') == len(get_args(RewardKind)), audited
    learned = genrl(
        checkout, 'learn', 'slider', '--model', model, '--force', '--prompt', 'push it'
    )
    assert 'genrl eval slider --tasks TASK' in learned
    scores = genrl(
        checkout, 'eval', 'slider', '--episodes', '2', '--policy', 'runs/policies/policy'
    )
    assert re.search(r'right\s*│ 0\.\d\d', scores), scores
    up(checkout, model)


def up(checkout: Path, model: str) -> None:
    """The graph comes up, takes tasks from another terminal, and ends at Ctrl-C."""
    with subprocess.Popen(
        [sys.executable, '-m', 'genrl_ros.cli.main', 'up', 'slider', '--model', model],
        cwd=checkout, env={**os.environ, 'PYTHONPATH': str(checkout)}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        said = []
        for line in process.stdout:
            said.append(line)
            if 'everything is active' in line:
                shown = genrl(checkout, 'task', 'push it', '--preview')
                assert 'decoded goal' in shown and (checkout / 'runs').is_dir()
                assert 'nothing is being learned' in genrl(checkout, 'task', '--stop')
                os.killpg(process.pid, signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 0, ''.join(said)
    assert any('everything is active' in line for line in said), ''.join(said)
