"""Reading bags: the order of time whatever that on the disk, what recorders leave, encodings."""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import recorded_runs
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_runs import check, drive, episodes
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin

from genrl_ros.cli.commands.ingest import Config, main
from genrl_ros.data.bags import mcap
from genrl_ros.data.bags.bag import bag_name, find_bags, read_bag
from genrl_ros.data.bags.order import in_time
from genrl_ros.data.bags.storage import BagError, BagMessage, Index

KIND = 'std_msgs/msg/String'
MS = 1_000_000
T0 = 1_700_000_000 * 10**9
TOPICS = ('/image', '/commands', '/grip')

Message = tuple[int, str, bytes]
"""When it arrived, in ms; its topic; its data."""

STORAGES: dict[str, dict] = {
    'mcap': {},
    'zstd': {'mode': CompressionMode.STORAGE, 'fmt': CompressionFormat.ZSTD},
    'sqlite3': {'storage': StoragePlugin.SQLITE3},
}


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict:
    """How a bag is stored; chunks of MCAP are small."""
    monkeypatch.setattr(
        'rosbags.rosbag2.storage_mcap.McapWriter.write', recorded_runs.small_chunks
    )
    return STORAGES[request.param]


def write(
    path: Path,
    messages: list[Message],
    storage: StoragePlugin = StoragePlugin.MCAP,
    **compression: object,
) -> Path:
    """A bag that holds the messages in the order in which they are given."""
    data = [(T0 + arrived_ms * MS, topic, KIND, data) for arrived_ms, topic, data in messages]
    return recorded_runs.write_data(path, data, storage, **compression)


def read(bag: Path) -> tuple[list[Message], list[BagMessage], list[str]]:
    """What is in a bag, as it was given to `write`; the messages themselves; the damage."""
    damage: list[str] = []
    messages = list(read_bag(bag, TOPICS, damage.append))
    plain = [((m.arrived_ns - T0) // MS, m.topic, m.data) for m in messages]
    return plain, messages, damage


def recorded(steps: int = 60, start_ms: int = 0, name: str = '') -> list[Message]:
    """Images and the commands that answer them, as they arrived."""
    messages = []
    for i in range(steps):
        messages.append((start_ms + 100 * i, '/image', f'{name}image {i} '.encode() * 20))
        messages.append((start_ms + 100 * i + 15, '/commands', f'{name}command {i}'.encode()))
    return messages


def by_topic(messages: list) -> list:
    return sorted(messages, key=lambda message: message[1])


def in_blocks(messages: list) -> list:
    """Ten messages a block, by topic within."""
    return [m for i in range(0, len(messages), 10) for m in by_topic(messages[i : i + 10])]


def shuffled(messages: list) -> list:
    return random.Random(0).sample(messages, len(messages))


def reversed_(messages: list) -> list:
    return messages[::-1]


@pytest.mark.parametrize('arrange', [by_topic, in_blocks, shuffled, reversed_])
def test_the_order_on_the_disk_is_not_that_of_time(tmp_path, storage, arrange) -> None:
    messages = recorded()
    assert arrange(messages) != messages
    plain, given, damage = read(write(tmp_path / 'run', arrange(messages), **storage))
    assert plain == messages
    assert {message.setbacks for message in given} == {0} and not damage


@pytest.mark.parametrize('arrange', [by_topic, in_blocks, shuffled])
def test_actions_do_not_depend_on_the_order_on_the_disk(tmp_path, robot, storage, arrange) -> None:
    plugin, options = storage.get('storage', StoragePlugin.MCAP), dict(storage)
    options.pop('storage', None)
    bag = recorded_runs.write(tmp_path / 'run', arrange(drive(30)), plugin, **options)
    ((_, episode),), report = episodes(bag, robot())
    check(episode, 0, 15)
    assert not report.damage


@pytest.mark.parametrize('arrange', [list, by_topic])
def test_a_clock_that_was_set_back_does_not_mix_two_runs(tmp_path, storage, arrange) -> None:
    first, second = recorded(40, name='first '), recorded(50, start_ms=1500, name='second ')
    plain, given, damage = read(write(tmp_path / 'run', arrange(first + second), **storage))
    assert plain == first + second
    assert [m.setbacks for m in given] == [0] * len(first) + [1] * len(second)
    assert not damage


@pytest.mark.parametrize('arrange', [list, by_topic])
def test_a_clock_that_was_set_back_ends_an_episode(tmp_path, robot, storage, arrange) -> None:
    plugin, options = storage.get('storage', StoragePlugin.MCAP), dict(storage)
    options.pop('storage', None)
    again = drive(16, first=30, start_ns=10**18 - 20 * recorded_runs.PERIOD)
    messages = arrange(drive(20) + again)
    bag = recorded_runs.write(tmp_path / 'run', messages, plugin, **options)
    found, _ = episodes(bag, robot())
    assert len(found) == 2
    check(found[0][1], 0, 10)
    check(found[1][1], 30, 8)


def test_a_step_of_a_clock_that_stamps_do_not_show_ends_an_episode(tmp_path, robot) -> None:
    """A step of less than two control periods: images of both sides fit to each other."""
    back = recorded_runs.PERIOD * 3 // 2
    messages = drive(40)
    half = len(messages) // 2
    late = drive(40, start_ns=10**18 - back)[half:]
    bag = recorded_runs.write(tmp_path / 'run', messages[:half] + late)
    found, report = episodes(bag, robot())
    assert len(found) == 2 and report.set_back == 1


def test_messages_that_overtake_each_other_show_no_clock(tmp_path, storage) -> None:
    """Two publishers of one topic, whose messages arrive by turns."""
    messages = recorded()
    for i in range(8, 100, 10):
        messages.insert(i, (messages[i][0] + 15, messages[i][1], b'early'))
    plain, given, damage = read(write(tmp_path / 'run', messages, **storage))
    assert plain == sorted(messages, key=lambda message: message[0]) != messages
    assert {message.setbacks for message in given} == {0} and not damage


def test_a_topic_that_is_mostly_silent_is_cut_where_the_others_are(tmp_path, storage) -> None:
    first, second = recorded(40, name='first '), recorded(50, start_ms=1500, name='second ')
    first.insert(3, (105, '/grip', b'open'))  # its times alone never go back
    second.insert(60, (4493, '/grip', b'close'))
    plain, given, _ = read(write(tmp_path / 'run', first + second, **storage))
    assert plain == first + second
    assert [m.setbacks for m in given] == [0] * len(first) + [1] * len(second)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_mixture_of_topics_is_put_in_order(data) -> None:
    """Topics of several rates, a clock that is set back now and then, and any mixture of them."""
    topics = [('/a', data.draw(st.integers(5, 50))), ('/b', data.draw(st.integers(5, 200)))]
    shifts = data.draw(st.lists(st.integers(500, 5000), max_size=3))
    wanted: list[tuple[int, int, str]] = []  # setbacks, time in ms, topic
    now = 10_000
    for setbacks, shift in enumerate([0, *shifts]):
        now -= shift
        run = [
            (setbacks, now + step, topic)
            for topic, interval in topics
            for step in range(0, 2000, interval)
        ]
        wanted += sorted(run)
        now += 2000
    columns = {topic: [m for m in wanted if m[2] == topic] for topic, _ in topics}
    mixture = []
    while any(columns.values()):
        topic = data.draw(st.sampled_from([topic for topic, left in columns.items() if left]))
        count = data.draw(st.integers(1, 200))
        mixture += columns[topic][:count]
        columns[topic] = columns[topic][count:]
    index = Index()
    for number, (_, time_ms, topic) in enumerate(mixture):
        index.add(index.number(topic, KIND, 'cdr'), time_ms * MS, 0, number)
    order = in_time([index])
    found = [mixture[row] for row in order.rows]
    assert [message[:2] for message in found] == [message[:2] for message in wanted]
    assert order.setbacks.tolist() == [setbacks for setbacks, _, _ in mixture]


def merged(folder: Path, *parts: Path, listed: list[str] | None = None) -> Path:
    """One bag of the files of several, which are its splits."""
    folder.mkdir()
    names = []
    for number, part in enumerate(parts):
        (file,) = [file for file in part.iterdir() if file.suffix != '.yaml']
        names.append(f'{folder.name}_{number}{file.suffix}')
        shutil.copy(file, folder / names[-1])
    about = yaml.safe_load((parts[0] / 'metadata.yaml').read_text())
    about['rosbag2_bagfile_information']['relative_file_paths'] = (
        names if listed is None else listed
    )
    (folder / 'metadata.yaml').write_text(yaml.safe_dump(about))
    return folder


@pytest.mark.parametrize('split', ['topics', 'turns', 'overlap'])
def test_splits_that_overlap_are_merged(tmp_path, storage, split) -> None:
    messages = recorded()
    first, second = {
        'topics': ([m for m in messages if m[1] == '/image'], messages[1::2]),
        'turns': (messages[::3] + messages[1::3], messages[2::3]),
        'overlap': (messages[:70], messages[50:]),
    }[split]
    bag = merged(
        tmp_path / 'run',
        write(tmp_path / 'a', sorted(first), **storage),
        write(tmp_path / 'b', sorted(second), **storage),
    )
    plain, given, damage = read(bag)
    assert plain == messages and {message.setbacks for message in given} == {0}
    assert [text for text in damage if '20 messages lie in two files' in text] == (
        damage if split == 'overlap' else []
    )


def test_a_clock_that_was_set_back_within_a_split_holds_for_the_next(tmp_path, storage) -> None:
    first, second = recorded(40, name='first '), recorded(50, start_ms=1500, name='second ')
    bag = merged(
        tmp_path / 'run',
        write(tmp_path / 'a', first[:50], **storage),
        write(tmp_path / 'b', first[50:] + second[:30], **storage),
        write(tmp_path / 'c', second[30:], **storage),
    )
    plain, _, _ = read(bag)
    assert plain == first + second


def test_chunks_that_cannot_all_be_held_are_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        'rosbags.rosbag2.storage_mcap.McapWriter.write', recorded_runs.small_chunks
    )
    bag = write(tmp_path / 'run', shuffled(recorded()), **STORAGES['zstd'])
    monkeypatch.setattr(mcap, 'MAX_HELD_BYTES', 10_000)
    with pytest.raises(BagError, match='mcap sort'):
        read(bag)
    straight = write(tmp_path / 'straight', recorded(), **STORAGES['zstd'])
    assert read(straight)[0] == recorded()


def killed(folder: Path, messages: list[Message]) -> Path:
    """As a recorder leaves an sqlite3 bag in the middle: half of the messages are in its log."""
    half = len(messages) // 2
    whole = write(folder / 'whole', messages[:half], StoragePlugin.SQLITE3) / 'whole.db3'
    bag = folder / 'killed'
    bag.mkdir()
    connection = sqlite3.connect(whole)
    connection.execute('PRAGMA journal_mode = WAL')
    topics = dict(connection.execute('SELECT name, id FROM topics'))
    for arrived_ms, topic, data in messages[half:]:
        connection.execute(
            'INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)',
            (topics[topic], T0 + arrived_ms * MS, data),
        )
        connection.commit()
    for end in ('', '-wal'):
        shutil.copy(f'{whole}{end}', bag / f'killed_0.db3{end}')
    connection.close()
    return bag


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_log_of_a_killed_recorder_is_read_and_nothing_is_written(tmp_path) -> None:
    messages = recorded()
    bag = killed(tmp_path, messages)
    before = contents(bag)
    for path in (bag, bag / 'killed_0.db3'):
        plain, _, damage = read(path)
        assert plain == messages
        assert not any('left out' in text for text in damage)
    assert contents(bag) == before
    name = bag_name(bag)
    (bag / 'killed_0.db3-wal').unlink()
    assert bag_name(bag) != name
    assert read(bag)[0] == messages[: len(messages) // 2]


def test_a_log_that_there_is_no_room_to_read_is_left_out_and_said(tmp_path, monkeypatch) -> None:
    messages = recorded()
    bag = killed(tmp_path, messages)
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: full)
    plain, _, damage = read(bag)
    assert plain == messages[: len(messages) // 2]
    assert any('killed_0.db3-wal is left out' in t and 'TMPDIR' in t for t in damage)


def test_a_journal_beside_a_database_is_not_given_to_sqlite(tmp_path) -> None:
    """It names a file that sqlite deletes."""
    victim = tmp_path / 'victim'
    victim.write_bytes(b'precious')
    bag = write(tmp_path / 'run', recorded(), StoragePlugin.SQLITE3)
    named = str(victim).encode()
    tail = struct.pack('>I', len(named)) + struct.pack('>I', sum(named))
    journal = (
        bytes.fromhex('d9d505f920a163d7') + struct.pack('>IIIII', 0, 0, 0, 512, 4096) + bytes(484)
    )
    (bag / 'run.db3-journal').write_bytes(
        journal + struct.pack('>I', 1) + named + tail + bytes.fromhex('d9d505f920a163d7')
    )
    plain, _, damage = read(bag)
    assert plain == recorded()
    assert victim.exists() and (bag / 'run.db3-journal').exists()
    assert any('run.db3-journal is not read' in text for text in damage)


def splits(folder: Path, **options: object) -> tuple[Path, list[Message]]:
    """A bag of three splits."""
    messages = recorded()
    parts = [write(folder / f'part{i}', messages[40 * i : 40 * i + 40]) for i in range(3)]
    return merged(folder / 'run', *parts, **options), messages


def test_a_split_that_is_not_listed_is_read(tmp_path) -> None:
    """The metadata are from before the last split: the recorder was killed after it."""
    bag, messages = splits(tmp_path, listed=['run_0.mcap', 'run_1.mcap'])
    plain, _, damage = read(bag)
    assert plain == messages
    assert len(damage) == 1 and 'run_2.mcap is read, though' in damage[0]


def test_a_file_of_another_name_is_read(tmp_path) -> None:
    bag = write(tmp_path / 'run', recorded())
    (bag / 'run.mcap').rename(bag / 'monday.mcap')
    assert find_bags(bag) == [bag]
    plain, _, damage = read(bag)
    assert plain == recorded()
    assert any('run.mcap' in text and 'is missing' in text for text in damage)
    assert any('monday.mcap is read' in text for text in damage)


def test_a_missing_split_is_said_and_the_others_are_read(tmp_path) -> None:
    bag, messages = splits(tmp_path)
    (bag / 'run_1.mcap').unlink()
    plain, _, damage = read(bag)
    assert plain == messages[:40] + messages[80:]
    assert len(damage) == 1 and 'run_1.mcap' in damage[0] and 'is missing' in damage[0]


def test_a_split_that_cannot_be_read_costs_itself(tmp_path) -> None:
    bag, messages = splits(tmp_path)
    (bag / 'run_2.mcap').write_bytes(b'')  # the recorder was killed when it made it
    plain, _, damage = read(bag)
    assert plain == messages[:80]
    assert any('run_2.mcap is no MCAP file' in text for text in damage)


def test_another_recording_in_the_folder_of_a_bag_is_not_mixed_in(tmp_path) -> None:
    bag = write(tmp_path / 'run', recorded())
    other = write(tmp_path / 'other', recorded(name='other '))
    shutil.copy(other / 'other.mcap', bag / 'other.mcap')
    plain, _, damage = read(bag)
    assert plain == recorded()
    assert any('other.mcap is left out' in text for text in damage)


def test_files_without_metadata_are_bags_of_their_own(tmp_path) -> None:
    """Both clocks began at 0, as a simulator's does; nothing says that they are one recording."""
    folder = tmp_path / 'recordings'
    folder.mkdir()
    for name in ('run_1', 'run_2'):
        shutil.copy(write(tmp_path / name, recorded()) / f'{name}.mcap', folder)
    write(folder / 'inside', recorded())
    found = find_bags(folder)
    assert [bag.name for bag in found] == ['run_1.mcap', 'run_2.mcap', 'inside']


def test_splits_without_metadata_are_one_bag(tmp_path) -> None:
    bag, messages = splits(tmp_path)
    (bag / 'metadata.yaml').unlink()
    assert find_bags(bag) == [bag]
    assert read(bag)[0] == messages


def text(value: str) -> bytes:
    return struct.pack('<I', len(value)) + value.encode()


def record(kind: int, body: bytes) -> bytes:
    return struct.pack('<BQ', kind, len(body)) + body


def other_mcap(file: Path, topics: dict[str, str], encoding: str, count: int) -> Path:
    """An MCAP file as other programs than ROS 2 write it; without chunks."""
    content = mcap.MAGIC + record(1, text('') + text('somebody'))
    for number, (topic, kind) in enumerate(topics.items(), 1):
        content += record(3, struct.pack('<H', number) + text(kind) + text('x') + bytes(4))
        channel = struct.pack('<HH', number, number) + text(topic) + text(encoding) + bytes(4)
        content += record(4, channel)
        for i in range(count):
            content += record(5, struct.pack('<HIQQ', number, 0, i, i) + b'{"data": [1.0]}')
    file.write_bytes(content + record(15, bytes(4)) + record(2, bytes(20)) + mcap.MAGIC)
    return file


@pytest.mark.parametrize(
    ('encoding', 'kind', 'cure'),
    [
        ('json', 'foxglove.RawImage', 'ros2 bag record'),
        ('protobuf', 'foxglove.RawImage', 'ros2 bag record'),
        ('ros1', 'sensor_msgs/Image', 'rosbags-convert'),
    ],
)
def test_another_encoding_is_named_with_its_cure(
    tmp_path: Path, robot: Callable[..., Path], capsys, encoding: str, kind: str, cure: str
) -> None:
    topics = dict.fromkeys(('/image', '/joint_states', '/commands'), kind)
    file = other_mcap(tmp_path / 'other.mcap', topics, encoding, 7)
    assert main(Config(bags=(file,), robot=str(robot()), out=tmp_path / 'data')) == 1
    said = capsys.readouterr().out
    assert 'no messages' not in said
    lines = [line for line in said.splitlines() if 'refused 7 messages on /image' in line]
    assert len(lines) == 1 and f"'{encoding}'" in lines[0] and cure in lines[0]


def test_another_encoding_in_sqlite_is_named(tmp_path, robot) -> None:
    bag = recorded_runs.write(tmp_path / 'run', drive(12), StoragePlugin.SQLITE3)
    connection = sqlite3.connect(bag / 'run.db3')
    connection.execute("UPDATE topics SET serialization_format = 'json'")
    connection.commit()
    connection.close()
    found, report = episodes(bag, robot())
    assert not found and sum(report.messages.values()) == len(drive(12))
    assert all("'json'" in reason for reason in report.refused)


@pytest.mark.parametrize(
    ('name', 'cure'), [('old.bag', 'rosbags-convert'), ('run_0.db3.zstd', 'zstd -d')]
)
def test_other_files_of_recordings_are_named_with_their_cure(tmp_path, name, cure) -> None:
    file = tmp_path / 'recordings' / 'run' / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b'x')
    for path in (file, file.parent, file.parent.parent):
        with pytest.raises(BagError, match=cure) as refused:
            find_bags(path)
        assert str(file) in str(refused.value)
