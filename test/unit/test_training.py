"""Models survive the disk, and what is exported is what was learned."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from toy_training import LEARN, SPEC, TINY, learn_toy, make_model, make_store

from genrl_ros.behavior.rewards.sequence import target_features
from genrl_ros.cli.commands import train_all
from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.mapping import from_mapping
from genrl_ros.config.training import WorldModelConfig
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.serving.policy.bundle import load_bundle
from genrl_ros.serving.policy.runner import Encoder, PolicyRunner
from genrl_ros.system import files
from genrl_ros.system.arrays import FloatArray, Image
from genrl_ros.training.behavior.export import write_model
from genrl_ros.training.engine.run import Run
from genrl_ros.training.engine.state_file import load_state, save_state
from genrl_ros.training.model.latents import dynamics_identity, encode_dataset, follow_dataset
from genrl_ros.training.model.report import video_goal_strips
from genrl_ros.world_model import latents
from genrl_ros.world_model.checkpoint import CheckpointError, load_mfwm
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / 'model')


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


def test_a_model_of_the_format_before_is_read(model_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder, tmp_path / 'before')
    file = folder / 'mfwm.json'
    description = json.loads(file.read_text())
    robot = description.pop('robot')
    gone = {'tasks': [{'name': 'go', 'prompt': 'go', 'element': 'it'}], 'episode_steps': 9}
    old = {key: robot[key] for key in robot if key not in ('name', 'units', 'camera_rate_hz')}
    old |= {'domain': robot['name'], 'image_size': 64, **gone}
    file.write_text(json.dumps(description | {'format_version': 2, 'embodiment': old}))
    _, card = load_mfwm(folder)
    assert (card.spec.name, card.spec.units) == ('toy', ())
    assert card.spec.differences(SPEC) == []


def _foreign(path: Path) -> None:
    description = json.loads(path.with_name('mfwm.json').read_text())
    description['robot']['action_names'].append('extra')
    description['robot']['action_scale'].append(1.0)
    description['robot']['units'].append('m')
    path.with_name('mfwm.json').write_text(json.dumps(description))


def _future(path: Path) -> None:
    description = json.loads(path.with_name('mfwm.json').read_text())
    path.with_name('mfwm.json').write_text(json.dumps(description | {'format_version': 99}))


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (_flip, 'mfwm.safetensors is damaged or foreign'),
        (_foreign, 'takes 3 actions but the robot has 4'),
        (_future, 'has format 99'),
        (Path.unlink, 'mfwm.safetensors is missing'),
        (lambda path: path.with_name('mfwm.json').write_text('[]'), 'not a world model'),
        (lambda path: path.with_name('mfwm.json').unlink(), 'there is no world model in .*/model'),
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
    result = learn_toy(model_folder, embedding, LEARN, tmp_path / 'out')
    assert result.updates == 4
    bundle = load_bundle(result.bundle_path)
    assert bundle.graphs['encoder.onnx'] == (model_folder / 'encoder.onnx').read_bytes()
    runner = PolicyRunner(bundle)
    actor = ort.InferenceSession(bundle.graphs['actor.onnx'])
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
        seen = {'tokens': token[None], 'deter': deter.numpy()}
        np.testing.assert_allclose(action, actor.run(None, seen)[0][0], atol=1e-5)
        state = State(latents.one_hot(torch.from_numpy(token)[None], 5), deter)
        last = action
    assert np.abs(action).max() <= 1


def test_an_export_stays_until_the_next_one_is_complete(
    model_folder: Path, tmp_path: Path
) -> None:
    config = train_all.Config('toy', out=tmp_path / 'export')
    making = train_all.Making(config, Run(tmp_path / 'run'))
    made = {'sha256': 'a' * 64, 'scores': {}}
    making.model.parent.mkdir(parents=True)
    model_folder.rename(making.model)
    making.export(made, {})
    names = {'mfwm.json', 'mfwm.safetensors', 'encoder.onnx', 'scores.json', 'CARD.md'}
    assert {path.name for path in making.out.iterdir()} == names
    assert 'from 9 frames (seed 1) with seed 0' in (making.out / 'CARD.md').read_text()
    (making.run.folder / 'goals.png').write_bytes(b'picture')
    making.export(made, {})
    assert {path.name for path in making.out.iterdir()} == names | {'goals.png'}
    before = load_mfwm(making.out)[1]
    (making.model / 'encoder.onnx').unlink()
    with pytest.raises(FileNotFoundError):
        making.export(made, {})
    assert load_mfwm(making.out)[1] == before
    assert not list(tmp_path.glob('.export*'))


@pytest.fixture
def exported(model_folder: Path, tmp_path: Path) -> train_all.Making:
    """A training whose model was exported once."""
    making = train_all.Making(
        train_all.Config('toy', out=tmp_path / 'export'), Run(tmp_path / 'run')
    )
    making.model.parent.mkdir(parents=True)
    model_folder.rename(making.model)
    making.export({'sha256': 'a' * 64, 'scores': {}}, {})
    return making


def test_there_is_an_export_at_any_moment(
    exported: train_all.Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, there = os.rename, []

    def watched(*names: Path) -> None:
        rename(*names)
        there.append((exported.out / 'mfwm.json').is_file())

    monkeypatch.setattr(os, 'rename', watched)
    exported.export({'sha256': 'b' * 64, 'scores': {}}, {})
    assert there and all(there)
    assert 'b' * 64 in (exported.out / 'CARD.md').read_text()
    assert not list(exported.out.parent.glob('.export*'))


def test_a_kill_between_two_renames_loses_no_export(
    exported: train_all.Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file system cannot exchange two folders at once, as NFS."""
    rename = os.rename

    def dies(first: Path, second: Path) -> None:
        if Path(second) == exported.out:
            raise KeyboardInterrupt
        rename(first, second)

    monkeypatch.setattr(files, '_exchange', lambda *_: False)
    monkeypatch.setattr(os, 'rename', dies)
    with pytest.raises(KeyboardInterrupt):
        exported.export({'sha256': 'b' * 64, 'scores': {}}, {})
    assert not exported.out.exists()
    monkeypatch.setattr(os, 'rename', rename)
    (encoder := exported.model / 'encoder.onnx').rename(encoder.with_suffix('.away'))
    with pytest.raises(FileNotFoundError):
        exported.export({'sha256': 'c' * 64, 'scores': {}}, {})
    load_mfwm(exported.out)
    encoder.with_suffix('.away').rename(encoder)
    exported.export({'sha256': 'c' * 64, 'scores': {}}, {})
    assert 'c' * 64 in (exported.out / 'CARD.md').read_text()
    assert not list(exported.out.parent.glob('.export*'))


def test_what_is_no_model_is_not_replaced_by_one(tmp_path: Path) -> None:
    theirs = tmp_path / 'models' / 'notes.txt'
    theirs.parent.mkdir()
    theirs.write_text('dear')
    making = train_all.Making(
        train_all.Config('toy', out=theirs.parent, data=tmp_path / 'data'), Run(tmp_path / 'run')
    )
    with pytest.raises(FileExistsError, match='is no model'):
        making.everything()
    (theirs.parent / 'mfwm.json').write_text('{}')
    with pytest.raises(FileExistsError, match=r'holds more than a model \(notes.txt\)'):
        making.everything()
    assert theirs.read_text() == 'dear'
    assert not (tmp_path / 'data').exists(), 'it is told before anything is made'


def test_another_seed_does_not_take_the_place_of_an_export(tmp_path: Path) -> None:
    first, other, longer = (
        train_all.Making(config, Run(tmp_path)).out
        for config in (
            train_all.Config('toy'),
            train_all.Config('toy', seed=1),
            train_all.Config('toy', world_model=WorldModelConfig(updates=9)),
        )
    )
    assert first == longer != other


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
        strips = video_goal_strips(model, store, objects, Embedder())  # type: ignore[arg-type]
        assert len(strips) == 2 * min(4, len(store.held_out)) > 0
        assert {strip.frames.shape for strip in strips} == {(8, 3, 64, 64)}
        for strip, embedded, episode in zip(strips[::2], seen, store.held_out, strict=False):
            assert np.array_equal(strip.frames, embedded)
            windows = [store.image(episode)[s : s + 8] for s in starts]
            assert any(np.array_equal(strip.frames, window) for window in windows)
            assert episode in strip.caption


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
