"""A dataset that is ingested into again: nothing twice, nothing of two kinds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recorded_runs import PICTURES, drive, write
from rosbags.rosbag2 import StoragePlugin

from genrl_ros.cli.commands.ingest import Config, main
from genrl_ros.data.store.episode_file import EpisodeError
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.system.files import write_tensors


@pytest.fixture
def ingest(tmp_path, robot) -> Callable[..., EpisodeStore]:
    """Ingests bags into one dataset, and gives it."""

    def run(*bags: Path, status: int = 0, file: Path | None = None, **options) -> EpisodeStore:
        where = str(file or robot())
        assert main(Config(bags, where, tmp_path / 'data', **options)) == status
        return EpisodeStore.open(tmp_path / 'data')

    return run


def pictures(store: EpisodeStore) -> list[int]:
    """Which pictures are in a dataset, in order."""
    return sorted(
        int(np.flatnonzero((picture == PICTURES).all((1, 2, 3)))[0])
        for name in store.episode_ids
        for picture in store.image(name)
    )


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'camera': {'crop': [0, 0, 4, 4]}}, r'camera.crop was not there and is \[0, 0, 4, 4\]'),
        ({'camera': {'topic': 'other'}}, 'camera.topic was image and is other'),
        ({'joint_states': {'max_age_s': 0.3}}, 'joint_states.max_age_s was 0.2 and is 0.3'),
        ({'episode_steps': 10}, 'episode_steps was 20 and is 10'),
    ],
)
def test_a_corrected_embodiment_file_is_not_mixed_in(
    tmp_path, robot, ingest, changes, words
) -> None:
    one = write(tmp_path / 'one', drive(30))
    held = ingest(one).episode_ids
    two = write(tmp_path / 'two', drive(30, first=40))
    with pytest.raises(EpisodeError, match=words):
        ingest(two, file=robot(**changes))
    assert EpisodeStore.open(tmp_path / 'data').episode_ids == held


def test_other_options_make_other_episodes(tmp_path, ingest) -> None:
    one = write(tmp_path / 'one', drive(30))
    ingest(one)
    with pytest.raises(EpisodeError, match='min_steps was 8 and is 2'):
        ingest(one, min_steps=2)


def test_what_makes_no_difference_may_be_corrected(tmp_path, robot, ingest) -> None:
    ingest(write(tmp_path / 'one', drive(30)))
    file = robot(camera={'max_age_s': 0.1}, joint_states={'rate_hz': 50.0}, use_sim_time=True)
    assert len(ingest(write(tmp_path / 'two', drive(30, first=40)), file=file).episode_ids) == 2


def test_a_dataset_without_an_episode_binds_nobody(tmp_path, robot, ingest) -> None:
    one = write(tmp_path / 'one', drive(30))
    ingest(one, file=robot(camera={'topic': 'other'}), status=1)
    assert ingest(one).episode_ids


def test_a_dataset_that_does_not_say_how_it_was_made_is_left_alone(tmp_path, ingest) -> None:
    store = ingest(write(tmp_path / 'one', drive(30)))
    del store.manifest['made_with'], store.manifest['recordings']
    store.seal()
    with pytest.raises(EpisodeError, match='does not say how it was made'):
        ingest(write(tmp_path / 'two', drive(30, first=40)))


@pytest.mark.parametrize('form', ['copy', 'renamed', 'sqlite3'])
def test_a_copy_of_a_bag_is_in_already(tmp_path, ingest, capsys, form) -> None:
    one = write(tmp_path / 'one', drive(30))
    before = pictures(ingest(one))
    other = tmp_path / 'other'
    if form == 'sqlite3':
        write(other, drive(30), StoragePlugin.SQLITE3)
    elif form == 'renamed':
        (tmp_path / 'elsewhere').mkdir()
        other = tmp_path / 'elsewhere' / 'x.mcap'
        shutil.copy(one / 'one.mcap', other)
    else:
        shutil.copytree(one, other)
    capsys.readouterr()
    assert pictures(ingest(other)) == before
    assert f'{other}: 1 episodes were in already, from {one}' in capsys.readouterr().out


def test_a_finished_bag_takes_the_place_of_the_unfinished_one(
    tmp_path, robot, ingest, capsys
) -> None:
    torn = write(tmp_path / 'unfinished' / 'run', drive(130)[: 70 * 3])
    store = ingest(torn)
    derived = [store.embedding_path('some', store.episode_ids[-1])]
    write_tensors(derived[0], {'video': np.zeros((1, 1), np.float32)})
    other = write(tmp_path / 'other', drive(30, first=150))
    before = pictures(ingest(other))
    whole = write(tmp_path / 'run', drive(130))
    store = ingest(whole)
    assert f'in place of those from {torn}' in capsys.readouterr().out
    assert pictures(store) != before
    assert main(Config((whole, other), str(robot()), tmp_path / 'at once')) == 0
    assert pictures(store) == pictures(EpisodeStore.open(tmp_path / 'at once'))
    assert not derived[0].exists()
    assert {store.manifest['episodes'][name]['seed'] for name in store.episode_ids} == set(
        store.manifest['recordings']
    )
    files = {file.stem for file in (store.path / 'episodes').iterdir()}
    assert files == set(store.episode_ids)


def test_an_unfinished_bag_adds_nothing_to_the_finished_one(tmp_path, ingest) -> None:
    before = pictures(ingest(write(tmp_path / 'run', drive(60))))
    assert pictures(ingest(write(tmp_path / 'part', drive(60)[:100]))) == before


def test_runs_that_begin_alike_are_different_runs(tmp_path, ingest) -> None:
    """As in a simulator: from one start, at one time, until the robot moves."""
    still = drive(4, start_ns=10**9)[:-3]
    one = [*still, *drive(40, start_ns=10**9)[len(still) :]]
    two = [
        *still,
        *((when, topic, message) for (when, topic, _), (_, _, message) in zip(
            drive(60, start_ns=10**9)[len(still) :], drive(60, 10**9, first=60)[len(still) :],
            strict=True,
        )),
    ]  # fmt: skip
    assert len(ingest(write(tmp_path / 'one', one)).episode_ids) == 1
    store = ingest(write(tmp_path / 'two', two))
    assert len(store.manifest['recordings']) == 2


def test_an_ingestion_that_was_killed_goes_on(tmp_path, ingest) -> None:
    one = write(tmp_path / 'one', drive(100))
    whole = ingest(one)
    names = whole.episode_ids
    (recording,) = whole.manifest['recordings'].values()
    recording['is_complete'] = False
    whole.remove(names[1:])
    assert ingest(one).episode_ids == names


def test_a_bag_without_episodes_is_reported_each_time(tmp_path, ingest, capsys) -> None:
    silent = write(tmp_path / 'silent', [m for m in drive(30) if m[1] != '/commands'])
    good = write(tmp_path / 'good', drive(30, first=40))
    ingest(good, silent)
    assert f'1 of 2 bags had no episode: {silent}' in capsys.readouterr().err
    for _ in range(2):
        ingest(silent, status=1)
        output = capsys.readouterr()
        assert 'no messages on /commands' in output.out
        assert 'no bag had an episode' in output.err
