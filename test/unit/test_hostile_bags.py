"""Bags that mean harm: small files that ask for much memory, or for time without end."""

from __future__ import annotations

import sqlite3
import struct
import tracemalloc
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import StoragePlugin
from test_recorded_order import T0, TOPICS, read, record, recorded, text, write

from genrl_ros.data.bags import mcap, storage
from genrl_ros.data.bags.bag import read_bag
from genrl_ros.data.bags.storage import BagError

pytestmark = pytest.mark.timeout(60)  # nothing here may take long

ENDLESS = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)'
COLUMNS = {
    'topics': "i AS id, '/image' AS name, 'x' AS type, 'cdr' AS serialization_format",
    'messages': "i AS id, 1 AS topic_id, i AS timestamp, x'00' AS data",
}


def bomb(levels: int) -> str:
    """An alias stands for ten of the level below."""
    lines = ['a0: &a0 [xxxxxxxxxx]']
    for level in range(1, levels + 1):
        lines.append(f'a{level}: &a{level} [{", ".join([f"*a{level - 1}"] * 10)}]')
    about = 'rosbag2_bagfile_information: {relative_file_paths: [*%s]}'
    return '\n'.join([*lines, about % f'a{levels}'])


@pytest.mark.parametrize(
    ('metadata', 'why'),
    [
        (bomb(5), 'aliases'),
        (bomb(9), 'aliases'),
        (''.join(f'%TAG !{i}! !\n' for i in range(250_000)) + '---\n', 'directives'),
        ('{' + 'a,' * 2_000_000 + '}', 'too many values'),
        ('a: {' * 1_000_000, 'too many values'),
        ('rosbag2_bagfile_information: {relative_file_paths: [[a]]}', 'does not say which files'),
        ('rosbag2_bagfile_information: x', 'does not say which files'),
        ('x' * 5_000_000, 'larger than'),
    ],
    ids=['aliases', 'more', 'directives', 'values', 'depth', 'lists', 'text', 'size'],
)
def test_metadata_that_mean_harm_are_left_out(tmp_path, metadata, why) -> None:
    bag = write(tmp_path / 'run', recorded())
    (bag / 'metadata.yaml').write_text(metadata)
    tracemalloc.start()
    plain, _, damage = read(bag)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert plain == recorded()
    assert len(damage) == 1 and why in damage[0] and len(damage[0]) < 500
    assert most < 100_000_000


def test_a_list_of_files_that_are_not_there_is_told_in_few_words(tmp_path) -> None:
    bag = write(tmp_path / 'run', recorded())
    names = ', '.join(f'{i}.mcap' for i in range(10_000))
    (bag / 'metadata.yaml').write_text(
        f'rosbag2_bagfile_information: {{relative_file_paths: [{names}]}}'
    )
    plain, _, damage = read(bag)
    assert plain == recorded()
    assert len(damage) < 20 and any('9990 more files' in line for line in damage)


def channel(number: int, topic: str, kind: str = 'x') -> bytes:
    schema = record(3, struct.pack('<H', number) + text(kind) + text('') + bytes(4))
    body = struct.pack('<HH', number, number) + text(topic) + text('cdr') + bytes(4)
    return schema + record(4, body)


def chunk(content: bytes) -> bytes:
    packed = zstd.compress(content)
    head = struct.pack('<QQQI', 0, 0, len(content), 0) + text('zstd')
    return record(6, head + struct.pack('<Q', len(packed)) + packed)


def message(i: int) -> bytes:
    return record(5, struct.pack('<HIQQ', 1, 0, T0 + i, 0))


def test_a_chunk_of_tiny_messages_takes_little_more_memory_than_it_has(tmp_path) -> None:
    content = channel(1, '/image') + b''.join(map(message, range(60_000)))
    file = tmp_path / 'tiny.mcap'
    file.write_bytes(mcap.MAGIC + chunk(content))
    count = 0
    tracemalloc.start()
    for _ in read_bag(file, TOPICS, lambda _: None):
        count += 1
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 60_000
    assert most < 4 * len(content)


def test_a_file_that_unpacks_to_more_and_more_is_given_up(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(mcap, 'FREE_RECORDS', 10_000)
    content = channel(1, '/other') + message(0) * 100_000
    file = tmp_path / 'many.mcap'
    file.write_bytes(mcap.MAGIC + chunk(content) * 1000)
    damage: list[str] = []
    assert not list(read_bag(file, TOPICS, damage.append))
    assert any('far more than its size explains' in line for line in damage)
    assert len(damage) < 5


def test_a_chunk_that_says_it_is_large_is_not_unpacked(tmp_path) -> None:
    file = tmp_path / 'large.mcap'
    file.write_bytes(mcap.MAGIC + chunk(bytes(storage.MAX_BYTES + 1)))
    tracemalloc.start()
    damage: list[str] = []
    assert not list(read_bag(file, TOPICS, damage.append))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert '268435456 are allowed' in damage[0] and most < 10_000_000


def test_more_messages_than_an_index_has_room_for_are_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr('genrl_ros.data.bags.bag.MAX_MESSAGES', 100)
    with pytest.raises(BagError, match='ros2 bag convert'):
        read(write(tmp_path / 'run', recorded()))


def test_names_without_end_are_no_names(tmp_path) -> None:
    file = tmp_path / 'names.mcap'
    many = b''.join(channel(1, '/image', f'kind{i}') for i in range(5000))
    file.write_bytes(mcap.MAGIC + chunk(many) + channel(2, '/image', 'x' * 5000))
    damage: list[str] = []
    assert not list(read_bag(file, TOPICS, damage.append))
    assert any('types of messages' in line for line in damage)
    assert any('a name has 5000 letters' in line for line in damage)


def database(file: Path) -> sqlite3.Connection:
    write(file.parent / 'plain', recorded(), StoragePlugin.SQLITE3)
    (file.parent / 'plain' / 'plain.db3').rename(file)
    return sqlite3.connect(file)


def given_up(file: Path) -> list[str]:
    """The messages are bounded, and so are memory and time; what is said of it."""
    damage: list[str] = []
    count = sum(1 for _ in read_bag(file, TOPICS, damage.append))
    assert count <= len(recorded())
    return damage


@pytest.mark.parametrize('table', ['topics', 'messages'])
@pytest.mark.parametrize('disguise', [False, True])
def test_a_view_that_never_ends_is_refused(tmp_path, table, disguise) -> None:
    file = tmp_path / 'view.db3'
    connection = database(file)
    connection.execute(f'DROP TABLE {table}')
    view = f'CREATE VIEW {table} AS {ENDLESS} SELECT {COLUMNS[table]} FROM n'
    connection.execute(view)
    if disguise:
        connection.execute('PRAGMA writable_schema = ON')
        connection.execute("UPDATE sqlite_master SET type = 'table' WHERE type = 'view'")
    connection.commit()
    connection.close()
    if disguise:  # a file that is shorter than it says is looked at less strictly by sqlite
        content = bytearray(file.read_bytes())
        struct.pack_into('>I', content, 28, len(content) // 4096 + 1)
        file.write_bytes(content)
    assert any('views' in line for line in given_up(file))


def test_computed_columns_are_refused(tmp_path) -> None:
    file = tmp_path / 'computed.db3'
    connection = database(file)
    connection.execute('DROP TABLE messages')
    connection.execute(
        'CREATE TABLE messages (id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, '
        'data BLOB AS (zeroblob(200000000)))'
    )
    rows = [(1, i) for i in range(10_000)]
    connection.executemany('INSERT INTO messages (topic_id, timestamp) VALUES (?, ?)', rows)
    connection.commit()
    connection.close()
    assert any('columns that are computed' in line for line in given_up(file))


def inner_page(size: int, child: int) -> bytes:
    """A page of a table that names 41 times where its rows are."""
    cells = struct.pack('>IB', child, 100) * 40
    start = size - len(cells)
    pointers = b''.join(struct.pack('>H', start + 5 * i) for i in range(40))
    head = struct.pack('>BHHHBI', 5, 0, 40, start, 0, child) + pointers
    return head + bytes(start - len(head)) + cells


@pytest.mark.parametrize('wanted', [True, False])
def test_pages_that_lead_to_each_other_many_times_are_given_up(tmp_path, wanted) -> None:
    """Eight levels of pages, each of which names the next 41 times: 41^8 times the same rows."""
    file = tmp_path / 'circles.db3'
    page = 512
    connection = sqlite3.connect(file)
    connection.executescript(
        f'PRAGMA page_size = {page};'
        'CREATE TABLE topics (id INTEGER PRIMARY KEY, name TEXT, type TEXT, '
        'serialization_format TEXT);'
        "INSERT INTO topics VALUES (1, '/image', 'x', 'cdr');"
        'CREATE TABLE messages (id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, '
        'data BLOB);'
    )
    topic = 1 if wanted else 2
    connection.executemany(
        "INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, x'00')",
        [(topic, i) for i in range(20)],
    )
    connection.commit()
    (root,) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'messages'"
    ).fetchone()
    connection.close()
    content = bytearray(file.read_bytes())
    leaf = content[(root - 1) * page : root * page]
    first = len(content) // page + 1
    content[(root - 1) * page : root * page] = inner_page(page, first)
    for level in range(1, 8):
        content += inner_page(page, first + level)
    content += leaf
    struct.pack_into('>I', content, 28, len(content) // page)
    file.write_bytes(content)
    said = given_up(file)
    assert any('not in order' in line or 'more steps' in line for line in said)


def test_a_name_that_leads_in_a_circle_takes_no_memory(tmp_path) -> None:
    """A text of a gigabyte, on pages that lead to each other."""
    file = tmp_path / 'name.db3'
    connection = database(file)
    connection.execute('UPDATE topics SET name = ?', ('x' * 2_000_000,))
    connection.commit()
    connection.close()
    assert any('too big' in line for line in given_up(file))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_to_a_database_does_more_than_cost_messages(tmp_path_factory, data) -> None:
    folder = tmp_path_factory.getbasetemp() / 'fuzzed_database'
    intact = folder / 'run' / 'run.db3'
    if not intact.exists():
        write(folder / 'run', recorded(20), StoragePlugin.SQLITE3)
    content = bytearray(intact.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = folder / 'damaged.db3'
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    damage: list[str] = []
    for found in read_bag(file, TOPICS, damage.append):
        assert found.topic in TOPICS
