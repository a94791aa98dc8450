"""Learning resumes exactly, models survive the disk, and what is exported is what was learned."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from toy_training import TINY, make_store, stop_after

from genrl_ros.behavior import actor_critic
from genrl_ros.behavior.matching import target_features
from genrl_ros.cli import train_all
from genrl_ros.config import LearnConfig, from_mapping
from genrl_ros.data.episode_store import EpisodeStore
from genrl_ros.data.replay import Replay
from genrl_ros.serving.bundle import BundleError, load_bundle
from genrl_ros.serving.policy import NO_TOKEN, Encoder, PolicyRunner
from genrl_ros.training import learn_worker
from genrl_ros.training.evaluate import evaluate
from genrl_ros.training.export import write_model
from genrl_ros.training.latents import dynamics_identity, encode_dataset, follow_dataset
from genrl_ros.training.learn import LearnResult, learn
from genrl_ros.training.learn_worker import LearnRequest
from genrl_ros.training.report import video_goal_rows
from genrl_ros.training.run import Run, StoppedError
from genrl_ros.training.unfinished_learning import place
from genrl_ros.types import EnvSpec, FloatArray, Image, Task
from genrl_ros.world_model import latents
from genrl_ros.world_model.checkpoint import (
    CheckpointError,
    load_mfwm,
    load_state,
    save_state,
)
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State

SPEC = EnvSpec('toy', ('a', 'b', 'c'), (2.0, 2.0, 2.0), 0.08, 2, 10, (Task('t', 'do it', 'e'),))
LEARN = LearnConfig(updates=4, starts=8, threads=1, critic_first=0)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    folder = tmp_path / 'model'
    write_model(folder, MFWM(TINY), SPEC, 'embedded', 'f' * 64, {'seed': 0})
    return folder


class _KilledError(Exception):
    pass


names = st.text('abc', min_size=1, max_size=3)
leaves = st.integers(-9, 9) | st.text(max_size=5) | st.lists(st.floats(-1, 1), max_size=4)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(names, leaves | st.dictionaries(names, leaves), max_size=4))
def test_nested_states_survive_the_disk(
    tmp_path_factory: pytest.TempPathFactory, state: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp('state') / 'state.safetensors'
    save_state(path, state | {'tensor': torch.arange(3)})
    loaded = load_state(path)
    assert torch.equal(loaded.pop('tensor'), torch.arange(3))
    assert loaded == state


def test_model_survives_the_disk(model_folder: Path) -> None:
    torch.manual_seed(0)
    original = MFWM(TINY)
    model, card = load_mfwm(model_folder)
    assert card.spec == SPEC
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, original.state_dict()[name].half().float())


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _foreign(path: Path) -> None:
    description = json.loads(path.with_name('mfwm.json').read_text())
    description['embodiment']['action_names'].append('extra')
    description['embodiment']['action_scale'].append(1.0)
    path.with_name('mfwm.json').write_text(json.dumps(description))


def _future(path: Path) -> None:
    description = json.loads(path.with_name('mfwm.json').read_text())
    path.with_name('mfwm.json').write_text(json.dumps(description | {'format_version': 99}))


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (_flip, 'mfwm.safetensors is damaged or foreign'),
        (_foreign, 'takes 3 actions but the embodiment has 4'),
        (_future, 'has format 99'),
        (Path.unlink, 'mfwm.safetensors is missing'),
        (lambda path: path.with_name('mfwm.json').write_text('[]'), 'not a world model'),
    ],
)
def test_a_damaged_model_is_refused_by_name(
    model_folder: Path, damage: object, message: str
) -> None:
    damage(model_folder / 'mfwm.safetensors')  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=message):
        load_mfwm(model_folder)


def test_the_bundle_acts_as_the_networks_that_were_learned(
    model_folder: Path, tmp_path: Path
) -> None:
    embedding = np.eye(32, dtype=np.float32)[0]
    result = learn(model_folder, embedding, LEARN, tmp_path / 'out', 'task', 'do it')
    assert result.updates == 4
    bundle = load_bundle(result.bundle_path)
    assert bundle.graphs['encoder.onnx'] == (model_folder / 'encoder.onnx').read_bytes()
    runner = PolicyRunner(bundle)
    torch.manual_seed(LEARN.seed)
    model, _ = load_mfwm(model_folder)
    image = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 64), np.uint8)
    logits = model.tokenizer.encode(torch.from_numpy(image))
    tokens = [runner.encode(frame) for frame in image]
    assert np.array_equal(np.stack(tokens), logits.argmax(-1).numpy())
    state = model.sequence.initial(1)
    last = np.zeros(3, np.float32)
    for token in tokens:
        action = runner.act(token, last)
        deter = model.sequence.advance(state, torch.from_numpy(last)[None])
        np.testing.assert_allclose(runner._deter, deter.numpy(), atol=1e-5)
        state = State(latents.one_hot(torch.from_numpy(token)[None], 5), deter)
        last = action
    assert runner._previous[0, 0] != NO_TOKEN
    assert np.abs(action).max() <= 1


def test_an_evaluation_that_cannot_run_ends_with_a_word(
    model_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match='nothing-there'):
        next(evaluate('kitchen', tmp_path / 'nothing-there', 'light', 1, 0, 1))
    embedding = np.eye(32, dtype=np.float32)[0]
    bundle = learn(model_folder, embedding, LEARN, tmp_path, 'task', 'do it').bundle_path
    with pytest.raises(OSError, match=f"simulator of 'nowhere' with the policy {bundle} ended"):
        next(evaluate('nowhere', bundle, 'light', 1, 0, 1))


def test_cancelled_learning_keeps_the_policy_so_far(model_folder: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def stop() -> bool:
        seen.append(0)
        return len(seen) == 2

    result = learn(
        model_folder, np.eye(32, dtype=np.float32)[1], LEARN, tmp_path, 'task', 'do it',
        should_stop=stop,
    )  # fmt: skip
    assert result.updates == 2
    load_bundle(result.bundle_path)


def test_interrupted_learning_goes_on_where_it_was(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('genrl_ros.training.learn.SAVE_EVERY', 2)
    embedding = np.eye(32, dtype=np.float32)[2]
    whole = learn(model_folder, embedding, LEARN, tmp_path / 'whole', 'task', 'do it')

    calls = 0

    def die() -> bool:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise _KilledError
        return False

    with pytest.raises(_KilledError):
        learn(model_folder, embedding, LEARN, tmp_path / 'cut', 'task', 'do it', should_stop=die)
    again = learn(model_folder, embedding, LEARN, tmp_path / 'cut', 'task', 'do it')
    graphs = [load_bundle(result.bundle_path).graphs for result in (whole, again)]
    assert graphs[0]['actor.onnx'] == graphs[1]['actor.onnx']


def make_replay(data: Path) -> Replay:
    return Replay(EpisodeStore.open(data), 4, 8, seed=0)


def test_learning_from_data_goes_on_in_the_batches_and_loses_nothing_when_stopped(
    model_folder: Path, tmp_path: Path
) -> None:
    embedding, data = np.eye(32, dtype=np.float32)[2], make_store(tmp_path / 'data', side=64)
    asked = (model_folder, embedding, LEARN)
    whole = learn(*asked, tmp_path / 'whole', 'task', 'do it', replay=make_replay(data))
    with pytest.raises(StoppedError, match='after 3 of 4 updates'):
        learn(
            *asked, tmp_path / 'cut', 'task', 'do it', replay=make_replay(data),
            should_stop=stop_after(3), export_early=False,
        )  # fmt: skip
    seen: list[int] = []
    again = learn(
        *asked, tmp_path / 'cut', 'task', 'do it', replay=make_replay(data),
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
        return learn(
            model_folder, np.eye(32, dtype=np.float32)[0], config, tmp_path, 'task', 'do it',
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
    asked = (LEARN, tmp_path, 'task', 'do it')
    with pytest.raises(StoppedError):
        learn(model_folder, embedding, *asked, should_stop=lambda: True, export_early=False)
    assert learn(model_folder, embedding * (1 + 1e-6), *asked).updates == LEARN.updates


def test_a_torn_learning_says_what_to_do(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / 'task.learning.safetensors').write_bytes(b'torn')
    with pytest.raises(CheckpointError, match='Remove the file to begin anew'):
        learn(model_folder, np.eye(32, dtype=np.float32)[0], LEARN, tmp_path, 'task', 'do it')


def test_a_prior_that_was_never_trained_is_no_prior(tmp_path: Path) -> None:
    training = {'seed': 0, 'prior': {'updates': 0}}
    write_model(tmp_path / 'model', MFWM(TINY), SPEC, 'embedded', 'f' * 64, training)
    asked = (tmp_path / 'model', np.eye(32, dtype=np.float32)[0])
    with pytest.raises(ValueError, match=r'choose --learning\.prior 0'):
        learn(*asked, LEARN, tmp_path, 'task', 'do it')
    assert learn(*asked, replace(LEARN, prior=0.0), tmp_path, 'task', 'do it').updates == 4


def test_an_interrupted_learning_of_something_else_is_refused(
    model_folder: Path, tmp_path: Path
) -> None:
    embedding, other = np.eye(32, dtype=np.float32)[:2]

    def begin(embedding: FloatArray, config: LearnConfig, stop: bool) -> None:
        learn(
            model_folder, embedding, config, tmp_path, 'task', 'do it',
            should_stop=lambda: stop, export_early=False,
        )  # fmt: skip

    with pytest.raises(StoppedError):
        begin(embedding, LEARN, stop=True)
    curve = tmp_path / 'task.csv'
    curve.write_text('update,reward\n3,1\n')
    for prompt, config in ((other, LEARN), (embedding, replace(LEARN, seed=1))):
        with pytest.raises(CheckpointError, match='of another prompt, world model or'):
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
        learn(
            model_folder, other, LEARN, tmp_path, 'task', 'do it',
            should_stop=lambda: True, export_early=False,
        )  # fmt: skip
    before = place(tmp_path, 'task').read_bytes()
    request = LearnRequest(
        str(model_folder), embedding.tolist(), 'task', 'do it', str(tmp_path),
        {'updates': 4, 'starts': 8, 'threads': 1, 'critic_first': 0},
    )  # fmt: skip
    learned = learn_worker._learn(request, lambda **_: None, lambda: False)
    assert load_bundle(Path(learned['path'])).description.updates == 4
    assert (tmp_path / 'task.learning.before.safetensors').read_bytes() == before


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
    monkeypatch.setattr('genrl_ros.training.learn.SAVE_EVERY', 2)
    asked = (model_folder, np.eye(32, dtype=np.float32)[0], LEARN)
    smooth = learn(*asked, tmp_path / 'smooth', 'task', 'do it')
    spoil_returns(monkeypatch, 4)
    result = learn(*asked, tmp_path / 'broken', 'task', 'do it')
    assert 'task.learning, update 3: the gradient is not finite' in capsys.readouterr().err
    assert (result.updates, np.isfinite(result.imagined_return)) == (4, True)
    assert 'nan' not in (tmp_path / 'broken/task.csv').read_text()
    graphs = [load_bundle(each.bundle_path).graphs['actor.onnx'] for each in (smooth, result)]
    assert graphs[0] != graphs[1], 'the same start states would break it again'


def test_learning_that_breaks_again_and_again_gives_up(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('genrl_ros.training.learn.SAVE_EVERY', 2)
    asked = (model_folder, np.eye(32, dtype=np.float32)[0], LEARN, tmp_path, 'task', 'do it')
    spoil_returns(monkeypatch, 1, *range(4, 100))
    with pytest.raises(FloatingPointError, match=r'update 2: .*This is failure 3 since .*task\.'):
        learn(*asked)
    assert load_state(place(tmp_path, 'task'))['agent']['optimizers']['critic']['updates'] == 2


def test_an_export_stays_until_the_next_one_is_complete(
    model_folder: Path, tmp_path: Path
) -> None:
    making = train_all._Making(
        train_all.Config('toy', out=tmp_path / 'export'), Run(tmp_path / 'run')
    )
    made = {'sha256': 'a' * 64, 'scores': {}}
    making.model.parent.mkdir(parents=True)
    model_folder.rename(making.model)
    making.export(made, {})
    names = {'mfwm.json', 'mfwm.safetensors', 'encoder.onnx', 'scores.json', 'CARD.md'}
    assert {path.name for path in making.out.iterdir()} == names
    (making.run.folder / 'goals.png').write_bytes(b'picture')
    making.export(made, {})
    assert {path.name for path in making.out.iterdir()} == names | {'goals.png'}
    before = load_mfwm(making.out)[1]
    (making.model / 'encoder.onnx').unlink()
    with pytest.raises(FileNotFoundError):
        making.export(made, {})
    assert load_mfwm(making.out)[1] == before
    assert not list(tmp_path.glob('.export*'))


def test_episodes_are_followed_as_a_policy_meets_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, store = MFWM(TINY), EpisodeStore.open(make_store(tmp_path / 'data', side=64))
    assert sum(encode_dataset(store, model.tokenizer)) == store.num_frames
    assert sum(follow_dataset(store, model)) == store.num_frames
    other, episode = store.episode_ids[1:3]
    identity = dynamics_identity(model)
    action = torch.from_numpy(np.array(store.action(episode)))
    tokens = model.tokenizer.encode(torch.from_numpy(np.array(store.image(episode)))).argmax(-1)
    followed = torch.from_numpy(np.array(store.deter(identity, episode))).float()
    deter = followed[:1]
    assert np.array_equal(deter[0], store.deter(identity, other)[0])  # nothing came before
    for t, want in enumerate(followed[1:], 1):
        state = State(latents.one_hot(tokens[t - 1 : t], TINY.classes), deter)
        deter = model.sequence.advance(state, action[t : t + 1])
        torch.testing.assert_close(deter[0], want, atol=2e-3, rtol=0)
    before = store.states_path(identity, episode).stat().st_mtime_ns
    list(follow_dataset(store, model))
    assert store.states_path(identity, episode).stat().st_mtime_ns == before
    nn.init.zeros_(model.sequence.cell.from_deter.weight)
    assert dynamics_identity(model) != identity


def test_the_goal_of_a_held_out_clip_is_drawn_below_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MFWM(TINY)
    store = EpisodeStore.open(make_store(tmp_path / 'data', episodes=60, side=64))
    seen: list[Image] = []

    class Embedder:
        def embed_video(self, clips: Image) -> FloatArray:
            seen.append(clips[0])
            return np.eye(1, TINY.embed_dim, dtype=np.float32)

    for objects, starts in ((slice(0, None), range(5)), (slice(4, None), (2,))):
        seen.clear()
        rows = video_goal_rows(model, store, objects, Embedder())  # type: ignore[arg-type]
        assert len(rows) == 2 * min(4, len(store.held_out)) > 0
        assert {row.shape for row in rows} == {(8, 3, 64, 64)}
        for clip, embedded, episode in zip(rows[::2], seen, store.held_out, strict=False):
            assert np.array_equal(clip, embedded)
            assert any(np.array_equal(clip, store.image(episode)[s : s + 8]) for s in starts)


def test_targets_differ_between_tasks(model_folder: Path) -> None:
    model, _ = load_mfwm(model_folder)
    one, other = torch.eye(32)[:2]
    torch.manual_seed(0)
    first = target_features(model, one, 4, 17)
    torch.manual_seed(0)
    assert not torch.equal(first, target_features(model, other, 4, 17))


def test_unknown_and_ill_typed_settings_are_named() -> None:
    with pytest.raises(ValueError, match="file: unknown key 'horizn'"):
        from_mapping(LearnConfig, {'horizn': 3}, 'file')
    with pytest.raises(ValueError, match='file.updates must be int'):
        from_mapping(LearnConfig, {'updates': 'many'}, 'file')
    with pytest.raises(ValueError, match='horizon must be at least 9'):
        from_mapping(LearnConfig, {'horizon': 3}, 'file')
    assert from_mapping(LearnConfig, {'actor_lr': '1e-4'}, 'file').actor_lr == 1e-4


@pytest.mark.parametrize('tokenizer', ['patch', 'conv'])
def test_the_exported_encoder_is_the_tokenizer(tmp_path: Path, tokenizer: str) -> None:
    torch.manual_seed(0)
    model = MFWM(replace(TINY, tokenizer=tokenizer))
    write_model(tmp_path / 'model', model, SPEC, 'embedded', 'f' * 64, {})
    encoder = Encoder.from_file(tmp_path / 'model' / 'encoder.onnx')
    tokenizer_of_the_file = load_mfwm(tmp_path / 'model')[0].tokenizer
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 64, 64), np.uint8)
    tokens = tokenizer_of_the_file.encode(torch.from_numpy(images)).argmax(-1).numpy()
    assert np.array_equal([encoder.encode(image) for image in images], tokens)
