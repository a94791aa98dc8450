"""The bring-up of a node in a process of its own, which ends in the middle of a transition."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import Log

from genrl_ros.cli import shared_memory
from genrl_ros.nodes import bringup
from genrl_ros.nodes.bringup import LOSSES, Bringup, BringupError
from genrl_ros.nodes.ros import qos

NODE = """
import sys, time
from pathlib import Path
from genrl_ros.nodes.ros.diagnostics import Level, Status
from genrl_ros.nodes.ros.lifecycle import ManagedNode
from genrl_ros.nodes.ros.run import main

class Slow(ManagedNode):
    def __init__(self):
        super().__init__('policy_node')

    def configure(self):
        Path(sys.argv[1], 'configures').touch()
        while not Path(sys.argv[1], 'go').exists():
            time.sleep(0.01)

    def activate(self):
        Path(sys.argv[1], 'active').touch()
        self.every(0.1, self.block)

    def health(self):
        unwell = Path(sys.argv[1], 'unwell').exists()
        return Status(Level.ERROR, 'has no image yet') if unwell else super().health()

    def block(self):
        while Path(sys.argv[1], 'stuck').exists():
            time.sleep(0.01)

main(Slow)
"""


class Slow:
    """A node whose configuration waits for a file."""

    def __init__(self, bench, folder: Path) -> None:
        self._bench, self._folder = bench, folder
        self.process = self._start()

    def said(self, name: str) -> bool:
        return (self._folder / name).exists()

    def get_stuck(self) -> None:
        (self._folder / 'stuck').touch()

    def get_free(self) -> None:
        (self._folder / 'stuck').unlink()

    def is_unwell(self) -> None:
        (self._folder / 'unwell').touch()

    def may_go(self) -> None:
        (self._folder / 'go').touch()

    def die_in_configure(self) -> None:
        """Be killed while it configures, and come back."""
        self._bench.until(lambda: self.said('configures'), 'its configuration')
        self.process.kill()
        self.process.wait()
        (self._folder / 'configures').unlink()
        self.process = self._start()

    def _start(self) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, '-c', NODE, str(self._folder)])


@pytest.fixture
def slow(bench, tmp_path) -> Iterator[Slow]:
    before = shared_memory.ours()
    slow = Slow(bench, tmp_path)
    bench.make(Bringup, nodes=['policy_node'])
    yield slow
    slow.process.kill()
    slow.process.wait()
    shared_memory.remove_dead(before)


def test_a_node_that_dies_while_it_is_configured_is_brought_up_when_it_is_back(
    bench, slow
) -> None:
    slow.die_in_configure()
    bench.until(lambda: slow.said('configures'), 'its configuration, again')
    slow.may_go()
    bench.until(lambda: slow.said('active'), 'the node to be active')


def test_a_node_that_always_dies_is_given_up(bench, slow) -> None:
    with pytest.raises(BringupError, match='policy_node: exited 3 times during a transition'):
        for _ in range(LOSSES + 1):
            slow.die_in_configure()


def test_a_configuration_that_takes_long_is_waited_for(bench, slow) -> None:
    (node,) = bench.nodes[-1]._nodes
    bench.until(lambda: slow.said('configures'), 'its configuration')
    questions: list[object] = []
    ask = node.ask.call_async
    node.ask.call_async = lambda request: questions.append(request) or ask(request)
    bench.until(lambda: len(questions) > 3, 'questions that nobody answers')
    slow.may_go()
    bench.until(lambda: slow.said('active'), 'the node to be active')
    assert node.lost == 0


def test_a_node_that_does_not_answer_any_more_is_told(bench, slow, monkeypatch) -> None:
    said: list[str] = []
    bench.observer.create_subscription(Log, '/rosout', lambda line: said.append(line.msg), 100)
    slow.may_go()
    bench.until(lambda: slow.said('active'), 'the node to be active')
    monkeypatch.setattr(bringup, 'SILENT_S', 2.0)
    slow.get_stuck()
    stuck = 'policy_node: has not answered for 2 s: it is stuck or has exited; see its log'
    bench.until(lambda: any(line.startswith(stuck) for line in said), 'the bring-up to notice')
    slow.get_free()
    bench.until(lambda: 'policy_node: answers again' in said, 'the bring-up to notice')
    assert len([line for line in said if line.startswith(stuck)]) == 1


def test_what_an_active_node_waits_for_is_told_with_its_reason(
    bench, slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringup, 'WAITS_S', 0.2)
    said: list[str] = []
    bench.observer.create_subscription(Log, '/rosout', lambda line: said.append(line.msg), 100)
    slow.is_unwell()
    slow.may_go()
    bench.until(lambda: 'policy_node is active, but: has no image yet' in said, 'the reason')
    assert said.index('everything is active') < said.index(
        'policy_node is active, but: has no image yet'
    )


def test_only_reasons_of_its_own_nodes_are_kept(bench) -> None:
    """Everybody may write to `/diagnostics`, under any name."""
    bringup = bench.make(Bringup, nodes=['policy_node', 'command_gate'])
    publisher = bench.observer.create_publisher(DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS)
    bench.connected(publisher)

    def tell(names: Sequence[str], text: str) -> None:
        error = DiagnosticStatus.ERROR
        status = [DiagnosticStatus(level=error, name=name, message=text) for name in names]
        publisher.publish(DiagnosticArray(status=status))

    tell([f'stranger {number}' for number in range(1000)], 'nonsense')
    tell(['policy_node'], 'x' * 10**6)
    bench.until(lambda: any(bringup.reasons.values()), 'the reason')
    assert {name: len(reason) for name, reason in bringup.reasons.items()} == {
        'policy_node': 1000,
        'command_gate': 0,
    }
