"""Commands find the graphs that run on this machine, and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genrl_ros.cli.commands.task import Config
from genrl_ros.deploy.running import announced, running_graphs

ENVIRONMENT = {'ROS_DOMAIN_ID': '42'}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('XDG_RUNTIME_DIR', str(tmp_path))
    return tmp_path / 'genrl-graphs'


def test_a_graph_is_found_while_it_runs(folder: Path) -> None:
    assert running_graphs() == []
    with announced('kitchen', 'left', ENVIRONMENT):
        (graph,) = running_graphs()
        assert (graph.domain, graph.namespace) == ('kitchen', 'left')
        assert graph.environment == ENVIRONMENT
    assert running_graphs() == []


def test_what_was_killed_or_is_no_graph_is_not_found(folder: Path) -> None:
    with announced('kitchen', '', ENVIRONMENT):
        (file,) = folder.iterdir()
        graph = json.loads(file.read_text())
        for name, content in (
            ('later.json', json.dumps(graph | {'started_s': graph['started_s'] - 1})),
            ('gone.json', json.dumps(graph | {'pid': 2**22})),
            ('torn.json', '{'),
            ('other.json', '{"pid": 1}'),
        ):
            (folder / name).write_text(content)
        assert len(running_graphs()) == 1
        assert [*folder.iterdir()] == [file]


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({}, 'one of them only'),
        ({'prompt': 'open it', 'stop': True}, 'one of them only'),
        ({'prompt': 'open it', 'video': Path('film.mp4')}, 'one of them only'),
        ({'prompt': 'open it', 'preview': True, 'wait': True}, 'leave out --queue and --wait'),
    ],
)
def test_what_cannot_be_asked_is_told(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**wrong)
