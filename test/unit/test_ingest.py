from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_runs import (
    LATENCY,
    MS,
    PERIOD,
    PICTURES,
    ROBOT,
    STORE,
    answer_to,
    check,
    command,
    compressed,
    drive,
    episodes,
    image,
    joints,
    small_chunks,
    write,
    write_robot,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin

from genrl_ros.cli.commands.ingest import Config, main, make_recipe
from genrl_ros.data.bags.bag import find_bags, read_bag
from genrl_ros.data.bags.bag_writer import EpisodeRecorder
from genrl_ros.data.bags.cut import EpisodeCutter, best_phase
from genrl_ros.data.bags.joint_track import JointTrack
from genrl_ros.data.bags.report import MAX_REASON, MAX_REASONS, Report
from genrl_ros.data.bags.storage import BagError
from genrl_ros.data.bags.synchronise import Group, Pace, Synchroniser
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.serving.robot.embodiment_file import load_embodiment


@pytest.mark.parametrize(
    ('storage', 'options'),
    [
        (StoragePlugin.MCAP, {}),
        (StoragePlugin.SQLITE3, {}),
        (
            StoragePlugin.MCAP,
            {'mode': CompressionMode.STORAGE, 'fmt': CompressionFormat.ZSTD},
        ),
    ],
    ids=['mcap', 'sqlite3', 'mcap-zstd'],
)
def test_a_bag_becomes_what_was_driven(tmp_path, robot, storage, options) -> None:
    bag = write(tmp_path / 'run', drive(30), storage, **options)
    ((name, episode),), report = episodes(bag, robot())
    check(episode, 0, 15)
    np.testing.assert_array_equal(episode.state[:, 0], 2.0 * np.arange(16))
    np.testing.assert_array_equal(episode.state[:, 1], 2.0 * np.arange(16) + 0.5)
    assert name.startswith('run-') and episode.kind == 'recorded'
    assert not report.damage and not report.refused


def test_a_simulators_time_is_as_good_as_any(tmp_path, robot) -> None:
    """Stamps from zero on, messages that arrive by a clock that has nothing to do with them."""
    messages = [
        (10**18 + 3 * when, topic, message) for when, topic, message in drive(12, start_ns=0)
    ]
    ((_, episode),), _ = episodes(write(tmp_path / 'run', messages), robot())
    check(episode, 0, 6)


def test_compressed_images_are_read_too(tmp_path, robot) -> None:
    def png(stamp: int, pixels: np.ndarray) -> tuple[str, object]:
        return compressed(stamp, pixels, '.png')

    bag = write(tmp_path / 'run', drive(12, picture=png))
    ((_, episode),), _ = episodes(bag, robot(camera={'encoding': 'png'}))
    check(episode, 0, 6)


@pytest.mark.parametrize('first', [0, 1])
def test_agent_steps_begin_where_the_policy_acted(tmp_path, robot, first) -> None:
    messages = drive(21)
    cut = [m for m in messages if m[0] >= 10**18 + first * PERIOD]
    ((_, episode),), _ = episodes(write(tmp_path / 'run', cut), robot())
    check(episode, 2 * first, 10 - first)


def test_a_gap_splits_an_episode(tmp_path, robot) -> None:
    messages = drive(40)
    lost = [m for m in messages if m[0] - LATENCY - 10**18 == 20 * PERIOD and m[1] == '/image']
    assert len(lost) == 1
    messages.remove(lost[0])
    found, report = episodes(write(tmp_path / 'run', messages), robot())
    assert len(found) == 2 and report.gaps == 1
    check(found[0][1], 0, 9)
    check(found[1][1], 22, 9)


def test_a_reset_of_the_simulator_splits_an_episode(tmp_path, robot) -> None:
    messages = drive(20, start_ns=10**9) + [
        (when + 10**12, topic, message) for when, topic, message in drive(16, start_ns=0)
    ]
    found, report = episodes(write(tmp_path / 'run', messages), robot())
    assert [len(episode.image) for _, episode in found] == [11, 9]
    check(found[1][1], 0, 8)
    assert len({name for name, _ in found}) == 2


def test_what_nobody_drove_is_left_out(tmp_path, robot) -> None:
    """Ten images before the first command, and ten after the last."""
    messages = [
        m for m in drive(40)
        if m[1] != '/commands' or 10 <= (m[0] - 10**18) // PERIOD < 30
    ]  # fmt: skip
    ((_, episode),), report = episodes(write(tmp_path / 'run', messages), robot())
    check(episode, 10, 10)
    assert report.undriven.total() == 20 - 1  # a command is in force for two steps


GRIPPER = {
    'topic': 'gripper',
    'interface': 'position_group',
    'channels': [
        {
            'joint': 'g', 'unit': 'rad', 'scale': 0.5, 'centre': 0.5, 'reaction': 'hold',
            'limits': {'position': [0.0, 1.0], 'velocity': 99.0},
        }
    ],
}  # fmt: skip


def with_gripper(messages: list, when: int, value: float = 0.75) -> list:
    """A run in which the gripper is told once where to be, before an image arrives."""
    stamp = 10**18 + when * PERIOD
    moved = [
        (t, topic, joints(t - LATENCY - MS, ['a', 'b', 'g'], [0.0, 0.0, value]))
        if topic == '/joint_states' else (t, topic, message)
        for t, topic, message in messages
    ]  # fmt: skip
    return sorted([*moved, (stamp, '/gripper', command([value]))], key=lambda m: m[0])


@pytest.mark.parametrize('lost', [[20], [20, 21, 22, 23, 24, 25], [8, 30]])
def test_a_held_position_survives_lost_images(tmp_path, robot, lost) -> None:
    messages = with_gripper(drive(60), 0)
    stamps = [10**18 + i * PERIOD + LATENCY for i in lost]
    messages = [m for m in messages if m[1] != '/image' or m[0] not in stamps]
    file = robot(action_repeat=1, episode_steps=100, commands=[*ROBOT['commands'], GRIPPER])
    found, report = episodes(write(tmp_path / 'run', messages), file)
    assert sum(len(episode.image) for _, episode in found) == report.images == 61 - len(lost)
    assert all((episode.action[1:, 2] == 0.5).all() for _, episode in found)
    assert report.gaps == len(found) - 1 > 0 and not report.undriven


def test_frames_before_the_first_command_of_a_gripper_are_told_by_its_name(
    tmp_path, robot, capsys
) -> None:
    bag = write(tmp_path / 'run', with_gripper(drive(60), 40))
    file = robot(action_repeat=1, episode_steps=100, commands=[*ROBOT['commands'], GRIPPER])
    assert main(Config((bag,), str(file), tmp_path / 'data')) == 0
    assert '38 images before the first command on /gripper' in capsys.readouterr().out
    assert EpisodeStore.open(tmp_path / 'data').num_frames == 61 - 39


def test_positions_are_in_force_until_the_next_ones(tmp_path, robot) -> None:
    """Commands come every seventh image."""
    messages = with_gripper(drive(60), 0)
    messages = [m for m in messages if m[1] != '/commands']
    messages += [
        (10**18 + i * PERIOD, '/gripper', command([i / 100])) for i in range(7, 60, 7)
    ]  # fmt: skip
    bag = write(tmp_path / 'run', sorted(messages, key=lambda m: m[0]))
    file = robot(action_repeat=1, episode_steps=100, commands=[GRIPPER])
    ((_, episode),), report = episodes(bag, file)
    assert len(episode.image) == 61 and not report.undriven
    told = [0.75] + [i // 7 * 7 / 100 if i >= 7 else 0.75 for i in range(1, 61)]
    np.testing.assert_allclose(episode.action[1:, 0], (np.array(told[1:]) - 0.5) / 0.5, atol=1e-6)


def test_what_is_held_of_an_endless_run_is_bounded(tmp_path, robot, monkeypatch) -> None:
    held = []
    add = EpisodeCutter.add

    def watch(self: EpisodeCutter, frame) -> Iterator:
        yield from add(self, frame)
        held.append(len(self._run))

    monkeypatch.setattr(EpisodeCutter, 'add', watch)
    found, report = episodes(write(tmp_path / 'run', drive(190)), robot(episode_steps=5))
    assert max(held) <= 5 * 2 + 1 + 1
    assert [len(episode.image) for _, episode in found] == [6] * 19
    for number, (_, episode) in enumerate(found):
        check(episode, 10 * number, 5)
    assert report.images == 191 and report.commands == 190


def test_a_bag_that_is_read_on_gives_its_episodes_meanwhile(robot) -> None:
    """What is kept back is no more than what joint states may still come for."""
    recipe = make_recipe(load_embodiment(robot(action_repeat=1, episode_steps=5)))
    cutter = EpisodeCutter(recipe, 1, Report())
    synchroniser = Synchroniser(
        Pace(PERIOD, PERIOD),
        [Group('/commands', holds=False)],
        JointTrack(200 * MS, recipe.joint_reach, 0.08),
    )
    given = 0
    for i in range(2000):
        synchroniser.joint_states(i * PERIOD, np.zeros(2))
        synchroniser.command(0, np.zeros(2))
        for frame in synchroniser.image(i * PERIOD, PICTURES[0]):
            given += sum(len(cut.image) - 1 for cut in cutter.add(frame))
        assert i - given <= 200 * MS // PERIOD + 2 + 5 + 1


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_each_image_is_accounted_for_once(tmp_path_factory, data) -> None:
    """Whatever is lost of a run: images, joint states, commands, or all for a time."""
    folder = tmp_path_factory.mktemp('accounts')
    messages = drive(60)
    lost = data.draw(st.sets(st.integers(0, len(messages) - 1), max_size=20))
    begin, length = data.draw(st.integers(0, 180)), data.draw(st.integers(0, 30))
    topic = data.draw(st.sampled_from(['/image', '/joint_states', '/commands']))
    kept = [
        m for i, m in enumerate(messages)
        if i not in lost and not (m[1] == topic and begin <= i < begin + length)
    ]  # fmt: skip
    file = write_robot(folder / 'tiny.yaml', episode_steps=data.draw(st.integers(3, 20)))
    found, report = episodes(write(folder / 'run', kept), file)
    images = sum(m[1] == '/image' for m in kept)
    assert images == (
        report.images + report.skipped + report.repeated + report.undriven.total()
        + report.stateless + report.short + report.ends
    )  # fmt: skip
    steps = sum(len(episode.image) - 1 for _, episode in found)
    assert report.commands == 2 * steps
    assert not any(np.isnan(episode.state).any() for _, episode in found)


def test_a_relative_target_is_told_from_the_one_before(tmp_path, robot) -> None:
    """Of the first command ever nobody knows how far it goes; after a gap, it is known."""
    group = {**GRIPPER, 'topic': 'commands'}
    group['channels'] = [{**GRIPPER['channels'][0], 'mode': 'relative', 'centre': 0.0}]
    group['channels'][0]['limits'] = {'position': [0.0, 1.0], 'velocity': 99.0}
    lost = 10**18 + 20 * PERIOD + LATENCY
    messages, seen = [], -1
    for when, topic, message in with_gripper(drive(40), 0)[1:]:
        seen += topic == '/image'
        if topic == '/commands':
            message = command([seen / 100])
        if topic != '/gripper' and (topic != '/image' or when != lost):
            messages.append((when, topic, message))
    file = robot(action_repeat=1, commands=[group])
    found, report = episodes(write(tmp_path / 'run', messages), file)
    assert len(found) == 2 and report.undriven.total() == 1
    for _, episode in found:
        np.testing.assert_allclose(episode.action[1:], 0.02, atol=1e-6)


def test_the_whole_reason_is_said(tmp_path, robot, capsys) -> None:
    messages = drive(30)
    stamp = 10**18 + 14 * PERIOD
    messages += [(stamp, '/joint_states', joints(stamp, ['a', 'c'], [0.0, 1.0]))] * 3
    bag = write(tmp_path / 'run', sorted(messages, key=lambda m: m[0]))
    assert main(Config((bag,), str(robot()), tmp_path / 'data')) == 0
    assert (
        '  refused 3 messages on /joint_states: joint states do not fit the robot:\n'
        "    - joint 'b' is missing\n"
    ) in capsys.readouterr().out


def test_reasons_do_not_grow_without_end() -> None:
    report = Report()
    for i in range(1000):
        report.refuse('/image', f'{i} ' + 'x' * 10_000)
    assert report.refused.total() == 1000
    assert len(report.refused) <= MAX_REASONS + 1 and max(map(len, report.refused)) <= MAX_REASON


def test_exchanged_colours_are_put_right_and_said(tmp_path, robot, capsys) -> None:
    def png(stamp: int, pixels: np.ndarray) -> tuple[str, object]:
        kind, message = compressed(stamp, pixels[::-1], '.png')
        message.format = 'rgb8; png compressed rgb8'
        return kind, message

    bag = write(tmp_path / 'run', drive(20, picture=png))
    config = Config((bag,), str(robot(camera={'encoding': 'png'})), tmp_path / 'data')
    assert main(config) == 0
    assert '21 messages on /image: red and blue were exchanged back' in capsys.readouterr().out
    store = EpisodeStore.open(tmp_path / 'data')
    np.testing.assert_array_equal(store.image(store.episode_ids[0]), PICTURES[:21:2])


def test_several_bags_are_summed_up(tmp_path, robot, capsys) -> None:
    bags = [
        write(tmp_path / f'run{i}', [
            m for m in drive(30, first=40 * i)
            if m[0] != 10**18 + (40 * i + 10) * PERIOD + LATENCY
        ])
        for i in range(2)
    ]  # fmt: skip
    assert main(Config(tuple(bags), str(robot()), tmp_path / 'data', min_steps=2)) == 0
    last = capsys.readouterr().out.rpartition('all 2 bags: ')[2]
    assert '2 times images were missing' in last


def test_long_runs_are_cut_and_share_a_frame(tmp_path, robot) -> None:
    found, _ = episodes(write(tmp_path / 'run', drive(100)), robot())
    assert [len(episode.image) for _, episode in found] == [21, 21, 11]
    check(found[0][1], 0, 20)
    check(found[1][1], 40, 20)
    np.testing.assert_array_equal(found[0][1].image[-1], found[1][1].image[0])


def test_a_faster_camera_is_picked_from(tmp_path, robot) -> None:
    """At 37.5 Hz, every third image is at a control step."""
    messages = []
    for when, topic, message in drive(20):
        messages.append((when, topic, message))
        if topic == '/image':
            for third in (1, 2):
                stamp = when - LATENCY + third * PERIOD // 3
                messages.append((stamp + LATENCY, '/image', image(stamp, PICTURES[199])))
    messages.sort(key=lambda m: m[0])
    bag = write(tmp_path / 'run', messages)
    ((_, episode),), report = episodes(bag, robot(camera={'rate_hz': 37.5}))
    check(episode, 0, 10)
    assert report.skipped == 42


def test_a_camera_slower_than_the_commands_has_all_of_them_between_its_images(
    tmp_path, robot
) -> None:
    """Every second image is there; the second command of each action is a bit larger."""
    messages, seen = [], -1
    for when, topic, message in drive(40):
        seen += topic == '/image'
        if topic == '/commands' and seen % 2:
            message = command(list(answer_to(seen) + 0.02))
        if topic == '/commands' or seen % 2 == 0:
            messages.append((when, topic, message))
    bag = write(tmp_path / 'run', messages)
    ((_, episode),), report = episodes(bag, robot(camera={'rate_hz': 6.25}))
    np.testing.assert_array_equal(episode.image, PICTURES[: 2 * 21 : 2])
    wanted = np.stack([np.zeros(2), *((answer_to(i) + 0.01) / 2.0 for i in range(0, 40, 2))])
    np.testing.assert_allclose(episode.action, wanted, atol=1e-7)
    assert report.gaps == report.skipped == report.undriven.total() == 0


def test_relative_positions_add_up_between_images(tmp_path, robot) -> None:
    group = {
        'topic': 'commands',
        'interface': 'position_group',
        'channels': [
            {'joint': name, 'unit': 'rad', 'scale': 0.1, 'mode': 'relative', 'reaction': 'hold',
             'limits': {'position': [-9.0, 9.0], 'velocity': 2.0}}
            for name in 'ab'
        ],
    }  # fmt: skip
    messages, seen = [], -1
    for when, topic, message in drive(40):
        seen += topic == '/image'
        if topic == '/commands':
            message = command([0.05 * seen, -0.1 * seen])
        if topic == '/commands' or seen % 2 == 0:
            messages.append((when, topic, message))
    bag = write(tmp_path / 'run', messages)
    file = robot(camera={'rate_hz': 6.25}, commands=[group])
    ((_, episode),), _ = episodes(bag, file)
    np.testing.assert_allclose(episode.action[1:], [[0.5, -1.0]] * 19, atol=1e-6)


@settings(max_examples=50)
@given(st.floats(0.93, 1.07), st.lists(st.floats(-0.1, 0.1), min_size=200, max_size=200))
def test_a_camera_that_is_a_bit_off_loses_nothing(speed, jitter) -> None:
    pace = Pace(PERIOD, PERIOD)
    for i, late in enumerate(jitter):
        assert pace.judge(round(10**12 + (i * speed + late) * PERIOD)) == 'take', i


@pytest.mark.parametrize('rate', [1.0, 1.15, 1.2, 1.28, 1.33, 1.5, 1.7, 2.4])
def test_a_camera_that_is_some_faster_misses_nothing(rate) -> None:
    """A camera of 15 Hz, say, with 12.5 commands a second."""
    pace = Pace(PERIOD, round(PERIOD / rate))
    verdicts = [pace.judge(round(10**12 + i * PERIOD / rate)) for i in range(600)]
    assert 'gap' not in verdicts
    assert pace.judge(round(10**12 + 604 * PERIOD / rate)) == 'gap'


def test_a_command_beyond_the_scale_is_clipped_and_counted(tmp_path, robot) -> None:
    messages = drive(20)
    wild = next(i for i, m in enumerate(messages) if m[1] == '/commands' and i > 20)
    messages[wild] = (*messages[wild][:2], command([9.0, 0.0]))
    ((_, episode),), report = episodes(write(tmp_path / 'run', messages), robot())
    assert report.beyond == 1 and report.clipped == pytest.approx(1 / 20)
    assert episode.action.max() <= 1.0


def test_messages_that_do_not_fit_are_refused_and_reported(tmp_path, robot) -> None:
    messages = drive(30)
    stamp = 10**18 + 14 * PERIOD
    wrong = [
        ('/image', image(stamp + MS, PICTURES[0], width=16)),
        ('/image', image(stamp + 2 * MS, PICTURES[0], encoding='mono8')),
        ('/joint_states', joints(stamp, ['a'], [1.0])),
        ('/commands', command([1.0])),
        ('/commands', command([np.nan, 1.0])),
    ]
    messages[40:40] = [(messages[40][0], topic, message) for topic, message in wrong]
    ((_, episode),), report = episodes(write(tmp_path / 'run', messages), robot())
    check(episode, 0, 15)
    assert sum(report.refused.values()) == 5
    assert any('2 channels need one each' in reason for reason in report.refused)


def torn(bag: Path, keep: float, metadata: bool = False) -> Path:
    """The bag as a killed recorder leaves it."""
    if not metadata:
        (bag / 'metadata.yaml').unlink()
    (file,) = [file for file in bag.iterdir() if file.suffix in ('.mcap', '.db3')]
    with file.open('r+b') as opened:
        opened.truncate(int(file.stat().st_size * keep))
    return bag


@pytest.mark.parametrize('metadata', [True, False])
def test_a_torn_bag_is_read_as_far_as_it_goes(tmp_path, robot, monkeypatch, metadata) -> None:
    monkeypatch.setattr('rosbags.rosbag2.storage_mcap.McapWriter.write', small_chunks)
    bag = torn(write(tmp_path / 'run', drive(100)), 0.55, metadata)
    found, report = episodes(bag, robot())
    steps = sum(len(episode.image) - 1 for _, episode in found)
    assert 15 < steps < 50
    check(found[0][1], 0, 20)
    assert any('torn' in text for text in report.damage)
    assert metadata or any('no metadata.yaml' in text for text in report.damage)


def test_a_torn_database_is_read_as_far_as_it_goes(tmp_path, robot) -> None:
    bag = torn(write(tmp_path / 'run', drive(150), StoragePlugin.SQLITE3), 0.6)
    found, report = episodes(bag, robot())
    assert report.damage and found
    check(found[0][1], 0, 20)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_does_more_than_cost_messages(tmp_path_factory, data) -> None:
    """Bytes are changed, or the end is missing: what is left is read, and nothing crashes."""
    folder = tmp_path_factory.getbasetemp() / 'fuzzed'
    intact = folder / 'run' / 'run.mcap'
    if not intact.exists():
        write(folder / 'run', drive(6))
    content = bytearray(intact.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = folder / 'damaged.mcap'
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    damage: list[str] = []
    try:
        messages = list(read_bag(file, ('/image', '/commands'), damage.append))
    except BagError:
        return
    assert all(message.topic in ('/image', '/commands') for message in messages)


def test_a_header_that_lies_allocates_nothing(tmp_path) -> None:
    record = b'\x05' + (2**62).to_bytes(8, 'little') + b'x'
    (tmp_path / 'record.mcap').write_bytes(b'\x89MCAP0\r\n' + record)
    body = (
        bytes(16) + (2**60).to_bytes(8, 'little') + bytes(4) + (0).to_bytes(4, 'little')
        + (2**61).to_bytes(8, 'little')
    )  # fmt: skip
    chunk = b'\x06' + len(body).to_bytes(8, 'little') + body
    (tmp_path / 'chunk.mcap').write_bytes(b'\x89MCAP0\r\n' + chunk)
    for name, words in (('record', 'beyond the end'), ('chunk', f'{2**60} bytes')):
        damage: list[str] = []
        assert not list(read_bag(tmp_path / f'{name}.mcap', ('/a',), damage.append))
        assert words in damage[0]


@pytest.mark.parametrize('compression', ['zstd', 'lz4'])
def test_a_chunk_that_unpacks_to_more_than_it_says_is_left_out(tmp_path, compression) -> None:
    from backports import zstd
    from lz4 import frame

    pack = {'zstd': zstd.compress, 'lz4': frame.compress}[compression]
    packed, name = pack(bytes(200_000_000)), compression.encode()
    body = (
        bytes(16) + (100).to_bytes(8, 'little') + bytes(4) + len(name).to_bytes(4, 'little')
        + name + len(packed).to_bytes(8, 'little') + packed
    )  # fmt: skip
    file = tmp_path / 'bomb.mcap'
    file.write_bytes(b'\x89MCAP0\r\n\x06' + len(body).to_bytes(8, 'little') + body)
    damage: list[str] = []
    assert not list(read_bag(file, ('/a',), damage.append))
    assert 'its size or checksum is wrong' in damage[0]


def test_metadata_cannot_lead_out_of_the_folder(tmp_path, robot) -> None:
    outside = write(tmp_path / 'outside', drive(12))
    bag = write(tmp_path / 'run', drive(12))
    text = (bag / 'metadata.yaml').read_text()
    (bag / 'metadata.yaml').write_text(text.replace('run.mcap', '../outside/outside.mcap'))
    shutil.copy(outside / 'outside.mcap', tmp_path / 'outside.mcap')
    (bag / 'run.mcap').unlink()
    with pytest.raises(BagError, match='has no file'):
        episodes(bag, robot())


def test_files_that_are_no_bags_are_refused(tmp_path) -> None:
    for name, content, words in (
        ('a.mcap', b'', 'no MCAP file'),
        ('b.mcap', b'PK' * 100, 'no MCAP file'),
        ('c.txt', b'', 'is no bag'),
    ):
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(BagError, match=words):
            list(read_bag(find_bags(file)[0], ('/a',), lambda _: None))
    for path, words in (
        (tmp_path / 'none', 'does not exist'),
        (tmp_path, None),
        (tmp_path / 'empty', 'holds no bag'),
    ):
        (tmp_path / 'empty').mkdir(exist_ok=True)
        if words:
            with pytest.raises(BagError, match=words):
                find_bags(path)
    with pytest.raises(BagError, match='does not exist'):
        main(Config((tmp_path / 'none',), robot='kitchen', out=tmp_path / 'data'))
    assert not (tmp_path / 'data').exists()
    damage: list[str] = []
    file = tmp_path / 'd.db3'
    file.write_bytes(b'no database' * 1000)
    assert not list(read_bag(file, ('/a',), damage.append))
    assert 'torn or damaged' in damage[0]


def test_ingest_makes_a_dataset_and_can_be_repeated(tmp_path, robot, capsys) -> None:
    write(tmp_path / 'bags' / 'one', drive(30))
    write(tmp_path / 'bags' / 'two', drive(60, first=7), StoragePlugin.SQLITE3)
    config = Config(bags=(tmp_path / 'bags',), robot=str(robot()), out=tmp_path / 'data')
    assert main(config) == 0
    store = EpisodeStore.open(tmp_path / 'data')
    assert store.num_frames == sum(map(store.length, store.episode_ids)) > 0
    assert store.manifest['robot']['action_names'] == ['a', 'b']
    before = capsys.readouterr().out
    assert main(config) == 0
    assert EpisodeStore.open(tmp_path / 'data').manifest == store.manifest
    assert 'were in already' in capsys.readouterr().out and 'already' not in before


def test_ingest_says_what_is_missing(tmp_path, robot, capsys) -> None:
    bag = write(tmp_path / 'run', [m for m in drive(30) if m[1] != '/commands'])
    config = Config(bags=(bag,), robot=str(robot()), out=tmp_path / 'data')
    assert main(config) == 1
    output = capsys.readouterr()
    assert 'no messages on /commands (std_msgs/msg/Float64MultiArray)' in output.out
    assert 'no bag had an episode' in output.err


def test_a_dataset_of_another_robot_is_not_added_to(tmp_path, robot) -> None:
    bag = write(tmp_path / 'run', drive(30))
    assert main(Config(bags=(bag,), robot=str(robot()), out=tmp_path / 'data')) == 0
    other = robot(action_repeat=1)
    with pytest.raises(ValueError, match='action_repeat is 2 against 1 in '):
        main(Config(bags=(bag,), robot=str(other), out=tmp_path / 'data'))


def test_the_recorder_finishes_bags_one_by_one(tmp_path, robot) -> None:
    topics = {m[1]: m[2][0] for m in drive(1)}
    recorder = EpisodeRecorder(tmp_path / 'runs', topics)
    assert recorder.finish() is None
    for start in (0, 50):
        for arrived, topic, (kind, message) in drive(20, first=start):
            recorder.write(topic, bytes(STORE.serialize_cdr(message, kind)), arrived)
        assert recorder.finish() == tmp_path / 'runs' / f'episode_{start // 50:04d}'
    again = EpisodeRecorder(tmp_path / 'runs', topics)
    again.write('/commands', b'\0\1\0\0', 1)
    assert again.current == tmp_path / 'runs' / 'episode_0002'
    bags = find_bags(tmp_path / 'runs')
    assert [bag.name for bag in bags] == ['episode_0000', 'episode_0001', 'episode_0002']
    assert bags[2].parent.name == 'unfinished'
    for bag, start in zip(bags[:2], (0, 50), strict=True):
        ((_, episode),), report = episodes(bag, robot())
        check(episode, start, 10)
        assert not report.damage


def test_a_full_disk_costs_the_episode_that_did_not_fit(tmp_path, robot) -> None:
    topics = {m[1]: m[2][0] for m in drive(1)}
    recorder = EpisodeRecorder(tmp_path / 'runs', topics)

    def record() -> None:
        for arrived, topic, (kind, message) in drive(20):
            recorder.write(topic, bytes(STORE.serialize_cdr(message, kind)), arrived)

    record()
    recorder.finish()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # no file may grow beyond it
    try:
        record()
        with pytest.raises(OSError):  # noqa: PT011 - "File too large", in any language
            recorder.finish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    intact, torn_one = find_bags(tmp_path / 'runs')
    ((_, episode),), report = episodes(intact, robot())
    check(episode, 0, 10)
    assert not report.damage
    _, report = episodes(torn_one, robot())
    assert report.damage


def test_a_camera_whose_stamps_stand_still_is_seen_through(tmp_path, robot) -> None:
    messages = [
        (when, topic, image(10**18, PICTURES[0]) if topic == '/image' else message)
        for when, topic, message in drive(20)
    ]
    found, report = episodes(write(tmp_path / 'run', messages), robot())
    assert not found and report.repeated == 20 and report.skipped == 0


@pytest.mark.parametrize(
    ('changes', 'repeat', 'phase'),
    [([0, 0, 1, 1, 2, 2], 2, 0), ([0, 1, 1, 2, 2, 3], 2, 1), ([0, 0, 0], 2, 0), ([1], 4, 0)],
)
def test_the_phase_is_where_actions_change_least(changes, repeat, phase) -> None:
    assert best_phase(np.array(changes, float)[:, None], repeat) == phase


@pytest.mark.parametrize('times', [2.5, 4.0, 10.0])
def test_a_camera_that_is_much_faster_than_it_should_be_keeps_the_rate(times) -> None:
    pace = Pace(PERIOD, PERIOD)
    images = 1000
    taken = sum(pace.judge(10**12 + round(i * PERIOD / times)) == 'take' for i in range(images))
    assert taken == pytest.approx(images / times, rel=0.02, abs=2)
