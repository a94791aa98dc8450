"""Learning a policy goes on where it was, goes back when it breaks, and loses nothing."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_training import LEARN, SPEC, TINY, learn_toy, make_model, make_store, stop_after

from genrl_ros.behavior import actor_critic
from genrl_ros.config.learning import LearnConfig
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.store.replay import Replay
from genrl_ros.serving.policy.bundle import load_bundle
from genrl_ros.system.arrays import FloatArray
from genrl_ros.training.behavior import learn_worker
from genrl_ros.training.behavior.export import write_model
from genrl_ros.training.behavior.learn import LearnResult, place
from genrl_ros.training.behavior.learn_worker import LearnRequest
from genrl_ros.training.engine.checkpoints import OtherTrainingError
from genrl_ros.training.engine.run import StoppedError
from genrl_ros.training.engine.state_file import load_state, save_state
from genrl_ros.world_model.checkpoint import CheckpointError
from genrl_ros.world_model.mfwm import MFWM


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / 'model')


class _KilledError(Exception):
    pass


def test_cancelled_learning_keeps_the_policy_so_far(model_folder: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def stop() -> bool:
        seen.append(0)
        return len(seen) == 2

    result = learn_toy(
        model_folder, np.eye(32, dtype=np.float32)[1], LEARN, tmp_path,
        should_stop=stop,
    )  # fmt: skip
    assert result.updates == 2
    load_bundle(result.bundle_path)


def test_interrupted_learning_goes_on_where_it_was(model_folder: Path, tmp_path: Path) -> None:
    embedding = np.eye(32, dtype=np.float32)[2]
    asked = (model_folder, embedding, replace(LEARN, continued=0.5))
    whole = learn_toy(*asked, tmp_path / 'whole')

    calls = 0

    def die() -> bool:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise _KilledError
        return False

    with pytest.raises(_KilledError):
        learn_toy(*asked, tmp_path / 'cut', should_stop=die, save_every=2)
    again = learn_toy(*asked, tmp_path / 'cut')
    graphs = [load_bundle(result.bundle_path).graphs for result in (whole, again)]
    assert graphs[0]['actor.onnx'] == graphs[1]['actor.onnx']


def make_replay(data: Path) -> Replay:
    return Replay(EpisodeStore.open(data), 4, 8, seed=0)


def test_learning_from_data_goes_on_in_the_batches_and_loses_nothing_when_stopped(
    model_folder: Path, tmp_path: Path
) -> None:
    embedding, data = np.eye(32, dtype=np.float32)[2], make_store(tmp_path / 'data', side=64)
    asked = (model_folder, embedding, LEARN)
    whole = learn_toy(*asked, tmp_path / 'whole', replay=make_replay(data))
    with pytest.raises(StoppedError, match='after 3 of 4 updates'):
        learn_toy(
            *asked, tmp_path / 'cut', replay=make_replay(data),
            should_stop=stop_after(3), export_early=False,
        )  # fmt: skip
    seen: list[int] = []
    again = learn_toy(
        *asked, tmp_path / 'cut', replay=make_replay(data),
        on_progress=lambda progress: seen.append(progress.update),
        should_stop=lambda: bool(seen.append(0)),
    )  # fmt: skip
    assert seen.count(0) == 1, 'one update was left'
    graphs = [load_bundle(result.bundle_path).graphs for result in (whole, again)]
    assert graphs[0]['actor.onnx'] == graphs[1]['actor.onnx']


def test_an_interrupted_learning_goes_on_in_the_other_precision(
    model_folder: Path, tmp_path: Path
) -> None:
    def go_on(config: LearnConfig, stop: bool) -> LearnResult:
        return learn_toy(
            model_folder, np.eye(32, dtype=np.float32)[0], config, tmp_path,
            should_stop=lambda: stop, export_early=False,
        )  # fmt: skip

    with pytest.raises(StoppedError, match='after 1 of'):
        go_on(LEARN, stop=True)
    assert go_on(replace(LEARN, precision='bf16'), stop=False).updates == LEARN.updates


def test_an_interrupted_learning_goes_on_whatever_the_last_bits_of_its_prompt(
    model_folder: Path, tmp_path: Path
) -> None:
    """Which are others with another number of threads."""
    embedding = np.random.default_rng(0).normal(size=32).astype(np.float32)
    asked = (LEARN, tmp_path)
    with pytest.raises(StoppedError):
        learn_toy(model_folder, embedding, *asked, should_stop=lambda: True, export_early=False)
    assert learn_toy(model_folder, embedding * (1 + 1e-6), *asked).updates == LEARN.updates


def test_an_interrupted_learning_of_the_release_before_goes_on(
    model_folder: Path, tmp_path: Path
) -> None:
    asked = (model_folder, np.eye(32, dtype=np.float32)[0], LEARN)
    whole = learn_toy(*asked, tmp_path / 'whole')
    for name, wrong in (('same', {}), ('other', {'world model': '0' * 64})):
        out = tmp_path / name
        with pytest.raises(StoppedError):
            learn_toy(*asked, out, should_stop=stop_after(2), export_early=False)
        state = load_state(place(out, 'task'))
        del state['updates'], state['built_on'], state['drawn'], state['ended']
        state['identity'] = {**state.pop('settings'), **wrong}
        save_state(place(out, 'task'), state)
    again = learn_toy(*asked, tmp_path / 'same')  # from other states: it had drawn none ahead
    assert again.updates == whole.updates
    with pytest.raises(OtherTrainingError, match='world model was 000'):
        learn_toy(*asked, tmp_path / 'other')


def test_a_torn_learning_says_what_to_do(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / 'task.learning.safetensors').write_bytes(b'torn')
    with pytest.raises(CheckpointError, match='remove them to begin'):
        learn_toy(model_folder, np.eye(32, dtype=np.float32)[0], LEARN, tmp_path)


def test_a_prior_that_was_never_trained_is_no_prior(tmp_path: Path) -> None:
    training = {'seed': 0, 'prior': {'updates': 0}}
    write_model(tmp_path / 'model', MFWM(TINY), SPEC, 'embedded', 'f' * 64, training)
    asked = (tmp_path / 'model', np.eye(32, dtype=np.float32)[0])
    with pytest.raises(ValueError, match=r'choose --learning\.prior 0'):
        learn_toy(*asked, LEARN, tmp_path)
    assert learn_toy(*asked, replace(LEARN, prior=0.0), tmp_path).updates == 4


def test_an_interrupted_learning_of_something_else_is_refused(
    model_folder: Path, tmp_path: Path
) -> None:
    embedding, other = np.eye(32, dtype=np.float32)[:2]

    def begin(embedding: FloatArray, config: LearnConfig, stop: bool) -> None:
        learn_toy(
            model_folder, embedding, config, tmp_path,
            should_stop=lambda: stop, export_early=False,
        )  # fmt: skip

    with pytest.raises(StoppedError):
        begin(embedding, LEARN, stop=True)
    curve = tmp_path / 'task.csv'
    curve.write_text('update,reward\n3,1\n')
    for prompt, config, difference in (
        (other, LEARN, 'of another prompt'),
        (embedding, replace(LEARN, seed=1), 'learning.seed was 0, not 1'),
    ):
        with pytest.raises(CheckpointError, match=rf'other settings \({difference}\)'):
            begin(prompt, config, stop=False)
    (tmp_path / 'task').mkdir()
    with pytest.raises(FileExistsError, match='choose another name'):
        begin(embedding, LEARN, stop=False)
    assert curve.read_text() == 'update,reward\n3,1\n'
    (tmp_path / 'task').rmdir()
    begin(embedding, replace(LEARN, updates=5, threads=2), stop=False)
    assert load_bundle(tmp_path / 'task').description.updates == 5


def test_a_worker_sets_what_was_interrupted_before_aside_and_learns(
    model_folder: Path, tmp_path: Path
) -> None:
    """Else a robot that was switched off would need somebody to remove a file."""
    embedding, other = np.eye(32, dtype=np.float32)[:2]
    with pytest.raises(StoppedError):
        learn_toy(
            model_folder, other, LEARN, tmp_path,
            should_stop=lambda: True, export_early=False,
        )  # fmt: skip
    before = place(tmp_path, 'task').read_bytes()
    request = LearnRequest(
        str(model_folder), embedding.tolist(), 'task', 'do it', str(tmp_path),
        {'updates': 4, 'starts': 8, 'threads': 1, 'critic_first': 0},
    )  # fmt: skip
    learned = learn_worker.serve(request, lambda **_: None, lambda: False)
    assert load_bundle(Path(learned['path'])).description.updates == 4
    assert (tmp_path / 'task.learning.before.safetensors').read_bytes() == before


def test_a_worker_that_breaks_where_it_goes_on_begins_anew(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedding = np.eye(32, dtype=np.float32)[0]
    with pytest.raises(StoppedError):
        learn_toy(
            model_folder, embedding, LEARN, tmp_path,
            should_stop=stop_after(1), export_early=False,
        )  # fmt: skip
    request = LearnRequest(
        str(model_folder), embedding.tolist(), 'task', 'do it', str(tmp_path),
        {'updates': 4, 'starts': 8, 'threads': 1, 'critic_first': 0},
    )  # fmt: skip
    spoil_returns(monkeypatch, 1, 2, 3)
    learned = learn_worker.serve(request, lambda **_: None, lambda: False)
    assert load_bundle(Path(learned['path'])).description.updates == 4
    assert load_state(tmp_path / 'task.learning.before.safetensors')

    spoil_returns(monkeypatch, *range(100))
    with pytest.raises(FloatingPointError, match='failure 3 since'):
        learn_worker.serve(replace(request, task_id='other'), lambda **_: None, lambda: False)


def spoil_returns(monkeypatch: pytest.MonkeyPatch, *updates: int) -> None:
    """Make the returns of these updates, counted from 1, not a number."""
    exact, calls = actor_critic.lambda_returns, itertools.count(1)

    def spoiled(*args: Any) -> Tensor:
        return exact(*args) * (torch.nan if next(calls) in updates else 1.0)

    monkeypatch.setattr(actor_critic, 'lambda_returns', spoiled)


def test_learning_goes_back_when_it_breaks_and_on_from_other_states(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = (model_folder, np.eye(32, dtype=np.float32)[0], LEARN)
    smooth = learn_toy(*asked, tmp_path / 'smooth')
    spoil_returns(monkeypatch, 4)
    result = learn_toy(*asked, tmp_path / 'broken', save_every=2)
    assert 'learning task, update 3: the gradient is not finite' in capsys.readouterr().err
    assert (result.updates, np.isfinite(result.imagined_reward)) == (4, True)
    assert 'nan' not in (tmp_path / 'broken/task.csv').read_text()
    graphs = [load_bundle(each.bundle_path).graphs['actor.onnx'] for each in (smooth, result)]
    assert graphs[0] != graphs[1], 'the same start states would break it again'


def test_learning_that_breaks_again_and_again_gives_up(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (model_folder, np.eye(32, dtype=np.float32)[0], LEARN, tmp_path)
    spoil_returns(monkeypatch, 1, *range(4, 100))
    with pytest.raises(FloatingPointError, match=r'update 2: .*This is failure 3 since .*task\.'):
        learn_toy(*asked, save_every=2)
    assert load_state(place(tmp_path, 'task'))['agent']['optimizers']['critic']['updates'] == 2


def test_learning_from_data_passes_over_the_windows_that_break_it(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From all states of its windows, so that others must be drawn."""
    plain = make_replay(make_store(tmp_path / 'plain', 60))
    batches = [{window.episode for window in plain.draw()} for _ in range(20)]
    bad = min(batches[2] - set().union(*batches[:2], *batches[3:]))
    data = make_store(tmp_path / 'data', 60, {int(bad)}, side=64)
    config = replace(LEARN, updates=12, starts=32)
    result = learn_toy(
        model_folder, np.eye(32, dtype=np.float32)[0], config, tmp_path,
        replay=make_replay(data),
    )  # fmt: skip
    assert capsys.readouterr().err == 'learning task, update 2: the gradient is not finite\n'
    assert result.updates == 12


def test_a_learning_of_other_data_is_another_one(model_folder: Path, tmp_path: Path) -> None:
    data = make_store(tmp_path / 'data', side=64)
    asked = (model_folder, np.eye(32, dtype=np.float32)[0], LEARN, tmp_path)
    with pytest.raises(StoppedError):
        learn_toy(*asked, replay=make_replay(data), should_stop=stop_after(1), export_early=False)
    with pytest.raises(CheckpointError, match='or remove the file'):
        learn_toy(*asked)
    with pytest.raises(CheckpointError, match='or remove the file'):
        learn_toy(*asked, replay=Replay(EpisodeStore.open(data), 4, 8, seed=1))


@pytest.mark.parametrize('early', [True, False])
def test_a_stop_after_the_last_update_changes_nothing(
    model_folder: Path, tmp_path: Path, early: bool
) -> None:
    asked = (model_folder, np.eye(32, dtype=np.float32)[0], replace(LEARN, updates=12))
    whole = learn_toy(*asked, tmp_path / 'whole')
    stopped = learn_toy(
        *asked, tmp_path / 'stopped', should_stop=stop_after(12),
        export_early=early,
    )  # fmt: skip
    graphs = [load_bundle(each.bundle_path).graphs['actor.onnx'] for each in (whole, stopped)]
    assert graphs[0] == graphs[1]


def test_learning_ends_when_what_it_goes_back_to_has_vanished(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_returns(monkeypatch, 2)
    asked = (model_folder, np.eye(32, dtype=np.float32)[0], LEARN, tmp_path)

    def lose_it() -> bool:
        place(tmp_path, 'task').unlink()
        return False

    with pytest.raises(CheckpointError, match='has vanished'):
        learn_toy(*asked, should_stop=lose_it)


def test_what_a_killed_learning_left_half_written_is_removed(
    model_folder: Path, tmp_path: Path
) -> None:
    torn = tmp_path / '.task.learning.safetensors.abc.tmp'
    torn.mkdir()
    (torn / 'task.learning.safetensors').write_bytes(b'half')
    learn_toy(model_folder, np.eye(32, dtype=np.float32)[0], LEARN, tmp_path)
    assert not torn.exists()
