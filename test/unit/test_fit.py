"""Training goes on exactly where it was, and survives bad batches, full disks and torn files."""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn
from toy_training import STAGE, Toy, make_store, stop_after

from genrl_ros.config.training import RecordConfig
from genrl_ros.data.pictures import Strip
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.training.engine.optim import Optimizer
from genrl_ros.training.engine.run import Progress, StoppedError
from genrl_ros.training.engine.state_file import load_state, save_state
from genrl_ros.world_model.checkpoint import CheckpointError


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(make_store(tmp_path / 'data'), tmp_path / 'run')


class _KilledError(Exception):
    pass


def kill_at(update: int) -> Callable[[Progress], None]:
    def on_progress(progress: Progress) -> None:
        if progress.update == update:
            raise _KilledError

    return on_progress


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_an_interrupted_training_ends_as_if_it_had_not_been(toy: Toy, tmp_path: Path) -> None:
    whole, cut = replace(toy, run=tmp_path / 'whole'), replace(toy, run=tmp_path / 'cut')
    expected = whole.train()
    with pytest.raises(_KilledError):
        cut.train(on_progress=kill_at(10))
    assert same_weights(cut.train(), expected)
    assert cut.curve == whole.curve
    states = [load_file(toy.checkpoint) for toy in (whole, cut)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@settings(max_examples=8, deadline=None)
@given(stops=st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_stopping_in_the_middle_of_a_row_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, stops: list[int]
) -> None:
    folder = tmp_path_factory.mktemp('stop')
    record = RecordConfig(report_every=5, save_every=7, picture_every=0)
    toy = Toy(make_store(folder / 'data'), folder / 'whole', record=record)
    expected = toy.train()
    cut = replace(toy, run=folder / 'cut')
    for stop in stops:
        try:
            cut.train(should_stop=stop_after(stop))
        except StoppedError as stopped:
            assert 'of 12 updates' in str(stopped)
    assert same_weights(cut.train(), expected)
    assert cut.curve == toy.curve


def test_a_finished_training_goes_on_with_more_updates(toy: Toy) -> None:
    toy.train()
    before = toy.curve
    replace(toy, updates=16).train()
    assert load_state(toy.checkpoint)['optimizer']['updates'] == 16
    assert toy.curve.startswith(before)
    assert toy.curve.splitlines()[-1].startswith('16,')


def test_after_a_return_to_an_earlier_checkpoint_later_ones_are_of_no_use(toy: Toy) -> None:
    """The newest is another name of the last numbered one, so it is replaced, not written into."""
    toy.train()
    earlier = toy.checkpoint.with_stem(f'{STAGE}-00000004')
    before = earlier.read_bytes()
    toy.checkpoint.unlink()
    shutil.copy(earlier, toy.checkpoint)
    with pytest.raises(StoppedError, match='after 5 of 12'):
        toy.train(should_stop=stop_after(1))
    numbered = sorted(toy.run.glob(f'{STAGE}-*.safetensors'))
    assert [path.stem[-2:] for path in numbered] == ['04', '05']
    assert earlier.read_bytes() == before
    assert load_state(numbered[-1])['optimizer']['updates'] == 5


def test_a_finished_training_begins_anew_when_what_it_builds_on_has_changed(
    toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = toy.train(built_on='a tokenizer')
    assert same_weights(toy.train(built_on='a tokenizer'), first)
    assert capsys.readouterr().err == ''
    again = toy.train(built_on='another tokenizer', seed=1)
    assert 'it begins anew' in capsys.readouterr().err
    fresh = replace(toy, run=tmp_path / 'fresh')
    assert same_weights(fresh.train(seed=1), again)
    assert toy.curve == fresh.curve
    assert load_state(toy.run / f'{STAGE}.before.safetensors')['built_on'] == 'a tokenizer'


def test_an_unfinished_training_goes_on_when_what_it_builds_on_has_changed(toy: Toy) -> None:
    toy.train(built_on='a tokenizer')
    before = toy.curve
    longer = replace(toy, updates=14)
    longer.train(built_on='another tokenizer')
    assert longer.curve.startswith(before)
    assert load_state(toy.checkpoint)['built_on'] == 'another tokenizer'


def test_the_result_is_the_average_of_the_weights_and_the_checkpoint_has_both(toy: Toy) -> None:
    net = toy.train()
    state = load_state(toy.checkpoint)
    for index, (name, value) in enumerate(net.state_dict().items()):
        assert torch.equal(value, state['optimizer']['average'][str(index)])
        assert not torch.equal(value, state['network'][name])


@settings(max_examples=20, deadline=None)
@given(decay=st.floats(0.1, 0.99), updates=st.integers(1, 30))
def test_the_average_lies_among_the_weights_it_followed(decay: float, updates: int) -> None:
    net = nn.Linear(2, 1)
    config = replace(Toy(Path(), Path()).optim, ema=decay)
    optimizer = Optimizer(net.parameters(), config, updates)
    seen = [net.weight.detach().clone()]
    for _ in range(updates):
        optimizer.step(net(torch.ones(3, 2)).square().sum())
        seen.append(net.weight.detach().clone())
    kept = net.weight.detach().clone()
    with optimizer.average.applied():
        assert (net.weight <= torch.stack(seen).amax(0) + 1e-6).all()
        assert (net.weight >= torch.stack(seen).amin(0) - 1e-6).all()
    assert torch.equal(net.weight, kept)


def test_checkpoints_of_the_first_release_are_taken_up(toy: Toy) -> None:
    """They had neither an average nor the losses, nor the row that was being made."""
    with pytest.raises(StoppedError):
        toy.train(should_stop=stop_after(4))
    state = load_state(toy.checkpoint)
    old = {key: state[key] for key in ('network', 'replay', 'rng')}
    moments = {key: state['optimizer'][key] for key in ('updates', 'adam')}
    shutil.rmtree(toy.run)
    toy.run.mkdir()
    save_state(toy.checkpoint, old | {'optimizer': moments})
    toy.train()
    assert load_state(toy.checkpoint)['optimizer']['updates'] == 12


def test_the_last_checkpoints_are_kept_and_a_torn_one_is_passed_over(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = toy.train()
    names = sorted(path.name for path in toy.run.glob('*.safetensors'))
    assert names == [
        f'{STAGE}-{update:08d}.safetensors' for update in (4, 8, 12)
    ] + [f'{STAGE}.safetensors']  # fmt: skip
    content = toy.checkpoint.read_bytes()
    toy.checkpoint.unlink()
    (toy.run / f'{STAGE}-00000012.safetensors').unlink()
    toy.checkpoint.write_bytes(content[: len(content) // 2])
    (toy.run / f'.{toy.checkpoint.name}.x.tmp').write_bytes(content[:9])
    (toy.run / '.tmpAb3xYz').write_bytes(content[:9])
    assert same_weights(toy.train(), whole)
    assert 'going on from' in capsys.readouterr().err
    assert not list(toy.run.glob('.*'))
    for path in toy.run.glob('*.safetensors'):
        path.unlink()
        path.write_bytes(b'torn')
    names = rf'{STAGE}\.safetensors, {STAGE}-00000012\.safetensors'
    with pytest.raises(CheckpointError, match=rf'{names}.* remove them to begin'):
        toy.train()


def test_the_newest_checkpoint_can_be_the_only_one(toy: Toy, tmp_path: Path) -> None:
    alone = replace(toy, run=tmp_path / 'alone', record=replace(toy.record, keep=0))
    with pytest.raises(_KilledError):
        alone.train(on_progress=kill_at(10))
    assert same_weights(alone.train(), toy.train())
    assert [path.name for path in alone.run.glob('*.safetensors')] == [f'{STAGE}.safetensors']


def poisoned(tmp_path: Path) -> tuple[Toy, str]:
    store = EpisodeStore.open(make_store(tmp_path / 'plain', 60))
    bad = store.training[20]
    data = make_store(tmp_path / 'data', 60, {int(bad)})
    return Toy(data, tmp_path / 'run', updates=40), bad


def test_a_batch_that_breaks_the_loss_is_named_and_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy, bad = poisoned(tmp_path)
    net = toy.train()
    failures = json.loads((toy.run / f'{STAGE}.failures.json').read_text())
    assert failures
    for failure in failures:
        assert failure['error'] == 'the loss is nan'
        assert bad in [episode for episode, _ in failure['windows']]
    assert f"['{bad}', " in capsys.readouterr().err
    assert all(value.isfinite().all() for value in net.parameters())
    updates = [int(row.split(',')[0]) for row in toy.curve.splitlines()[1:]]
    assert updates == list(range(2, 41, 2))
    assert 'nan' not in toy.curve

    cut = replace(toy, run=tmp_path / 'cut')
    for update in (10, 20, 30):
        with pytest.raises(_KilledError):
            cut.train(on_progress=kill_at(update))
    assert same_weights(cut.train(), net)
    assert cut.curve == toy.curve


def test_training_that_fails_again_and_again_gives_up(toy: Toy) -> None:
    calls = itertools.count()

    def spoil(loss: Tensor) -> Tensor:
        return loss * (torch.inf if next(calls) > 4 else 1.0)

    with pytest.raises(FloatingPointError, match=r'update 4: the loss is inf.*failure 3 since'):
        toy.train(spoil=spoil)
    assert load_state(toy.checkpoint)['optimizer']['updates'] == 4


def test_training_goes_on_from_before_its_first_update(toy: Toy, tmp_path: Path) -> None:
    net = toy.train()
    cut = replace(toy, run=tmp_path / 'cut')

    def kill(loss: Tensor) -> Tensor:
        raise _KilledError

    with pytest.raises(_KilledError):
        cut.train(spoil=kill)
    assert load_state(cut.checkpoint)['optimizer']['updates'] == 0
    assert same_weights(cut.train(), net)
    assert cut.curve == toy.curve


def test_a_full_disk_ends_training_and_leaves_the_last_checkpoint(toy: Toy) -> None:
    """A file may not grow larger than the checkpoint is allowed to be: writing fails half-way."""
    toy = replace(toy, width=2000)
    with pytest.raises(StoppedError):
        toy.train(should_stop=stop_after(4))
    before = toy.checkpoint.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(CheckpointError, match=r'cannot be written.*untouched: make room'):
            toy.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert toy.checkpoint.read_bytes() == before
    assert not list(toy.run.glob('.*.tmp'))
    toy.train()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 kB."""
    place = tmp_path / 'disk'
    place.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=400k', 'genrl-test', str(place)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip('only root can mount a small disk')
    yield place
    subprocess.run(['umount', '--lazy', str(place)], check=True)


@pytest.mark.parametrize('trouble', ['full', 'read-only'])
def test_a_disk_that_cannot_be_written_is_named(toy: Toy, small_disk: Path, trouble: str) -> None:
    toy = replace(toy, run=small_disk / 'run', width=1500)
    with pytest.raises(StoppedError):
        toy.train(should_stop=stop_after(4))
    before = toy.checkpoint.read_bytes()
    if trouble == 'full':
        rest = os.open(small_disk / 'rest', os.O_CREAT | os.O_WRONLY)
        with pytest.raises(OSError, match='No space'):
            while True:
                os.write(rest, bytes(4096))
        os.close(rest)
    else:
        subprocess.run(['mount', '-o', 'remount,ro', str(small_disk)], check=True)
    with pytest.raises((CheckpointError, OSError), match=r'(No space|Read-only)') as failure:
        toy.train()
    assert str(toy.run) in str(failure.value)
    assert toy.checkpoint.read_bytes() == before


def test_pictures_and_events_are_written_beside_the_curve(toy: Toy, tmp_path: Path) -> None:
    pytest.importorskip('tensorboardX')
    from tensorboardX.proto.event_pb2 import Event

    record = RecordConfig(report_every=2, save_every=4, picture_every=6, tensorboard=True)
    whole = replace(toy, run=tmp_path / 'watched', record=record)

    def strips() -> list[Strip]:
        torch.rand(5)  # what drawing needs of random numbers must not change training
        return [Strip('nothing', np.zeros((2, 3, 8, 8), np.uint8))]

    watched, plain = whole.train(pictures={STAGE: strips}), toy.train()
    assert same_weights(watched, plain)
    pictures = sorted(path.name for path in (whole.run / 'pictures').iterdir())
    assert pictures == [f'{STAGE}-{update:08d}.png' for update in (6, 12)]
    (file,) = (whole.run / 'events' / STAGE).iterdir()
    steps = {
        (value.tag, event.step) for event in events(file, Event) for value in event.summary.value
    }
    assert {('error', update) for update in range(2, 13, 2)} <= steps
    assert ('picture', 6) in steps


def events(file: Path, kind: type) -> Iterator[object]:
    content = file.read_bytes()
    while content:  # length, its checksum, the event, its checksum
        length = int.from_bytes(content[:8], 'little')
        yield kind.FromString(content[12 : 12 + length])
        content = content[16 + length :]
