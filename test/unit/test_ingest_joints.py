"""Joint states whose stamps, rate or names are not what one would wish for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_runs import (
    MS,
    PERIOD,
    PICTURES,
    Message,
    command,
    episodes,
    image,
    joints,
    write,
)

from genrl_ros.cli.commands.ingest import Config, main
from genrl_ros.data.bags.joint_track import MAX_STATES, JointTrack, State
from genrl_ros.data.bags.synchronise import Group, Pace, Synchroniser

START = 10**18
STEPS = 30


def run(states: list[Message], late: int = 5 * MS) -> list[Message]:
    """A run whose images arrive so much after their stamps."""
    messages = list(states)
    for i in range(STEPS + 1):
        stamp = START + i * PERIOD
        messages.append((stamp + late, '/image', image(stamp, PICTURES[i])))
        if i < STEPS:
            messages.append((stamp + late + MS, '/commands', command([i / 100, 0.0])))
    return sorted(messages, key=lambda message: message[0])


def where(stamp: int) -> float:
    """Position of a joint at a time: a tenth of the control periods since the start."""
    return (stamp - START) / PERIOD / 10


def states(
    every: int = 10 * MS,
    stamp: Callable[[int], int] = lambda t: t,
    names: str = 'ab',
    until: int = START + (STEPS + 5) * PERIOD,
    position: Callable[[int], float] = where,
) -> list[Message]:
    return [
        (t + MS, '/joint_states', joints(stamp(t), list(names), [position(t), 0.5]))
        for t in range(START - 500 * MS, until, every)
    ]


def check_states(found: list, atol: float) -> None:
    """Whether each picture comes with the positions of its time."""
    assert found
    for _, episode in found:
        for picture, state in zip(episode.image, episode.state, strict=True):
            (index,) = [i for i, p in enumerate(PICTURES[:60]) if (p == picture).all()]
            assert state[0] == pytest.approx(index / 10, abs=atol)


@pytest.mark.parametrize(('every', 'late'), [(1, 5), (1, 400), (2, 150), (10, 0), (50, 90)])
def test_the_nearest_positions_are_found_at_every_rate(tmp_path, robot, every, late) -> None:
    bag = write(tmp_path / 'run', run(states(every * MS), late * MS))
    found, report = episodes(bag, robot(action_repeat=1))
    check_states(found, atol=every * MS / 2 / PERIOD / 10 + 1e-6)
    assert report.stateless == 0


def test_joint_states_may_come_later_than_their_image(tmp_path, robot) -> None:
    late = [(when + 150 * MS, topic, message) for when, topic, message in states()]
    found, _ = episodes(write(tmp_path / 'run', run(late)), robot(action_repeat=1))
    check_states(found[:1], atol=0.007)


@pytest.mark.parametrize(
    ('stamp', 'words'),
    [
        (lambda _: 0, 'have the stamp zero'),
        (lambda t: t - START + 10**12, '1e+09 s off, as of another clock'),
        (lambda t: t - 10**9, 'usable /joint_states within 0.2 s'),
    ],
    ids=['zero', 'other clock', 'a second behind'],
)
def test_positions_of_another_clock_are_not_taken(tmp_path, robot, capsys, stamp, words) -> None:
    bag = write(tmp_path / 'run', run(states(until=START + STEPS * PERIOD, stamp=stamp)))
    config = Config((bag,), str(robot(action_repeat=1)), tmp_path / 'data')
    status = main(config)
    output = capsys.readouterr()
    assert words in output.out
    if 'zero' in words or 'e+09' in words:
        assert status == 1 and f'{STEPS + 1} images without usable' in output.out


def test_positions_that_stop_end_an_episode(tmp_path, robot) -> None:
    bag = write(tmp_path / 'run', run(states(until=START + 15 * PERIOD)))
    found, report = episodes(bag, robot(action_repeat=1))
    check_states(found, atol=0.26)
    assert sum(len(episode.image) for _, episode in found) + report.stateless == STEPS + 1
    assert report.stateless == 13  # 15 periods, and 0.2 s
    assert report.nearest_s is not None and 0.2 < report.nearest_s < 0.29


@pytest.mark.parametrize('back', [300 * MS, 10**9])
def test_a_clock_of_the_joints_that_is_set_back_gives_no_wrong_positions(
    tmp_path, robot, back
) -> None:
    """That of the camera goes on: positions may be as wrong as they may be late, not more."""
    broken = START + 20 * PERIOD
    told = states(stamp=lambda t: t if t < broken else t - back, until=START + STEPS * PERIOD)
    found, report = episodes(write(tmp_path / 'run', run(told)), robot(action_repeat=1))
    check_states(found, atol=(200 * MS + PERIOD) / PERIOD / 10)
    assert back < 10**9 or report.stateless >= 8


def test_a_clock_that_is_set_back_for_images_first_and_joints_then(robot) -> None:
    tenth, second = 100 * MS, 1000 * MS
    synchroniser = Synchroniser(
        Pace(tenth, tenth), [Group('/commands', holds=True)], track(reach=np.inf)
    )
    frames = []

    def live(begin: int, end: int, position: float) -> None:
        for stamp in range(begin, end, tenth):
            synchroniser.joint_states(stamp, np.array([position]))
            frames.extend(synchroniser.image(stamp, PICTURES[0]))

    live(second, 10 * second, 1.0)
    frames.extend(synchroniser.image(5 * second, PICTURES[0]))
    synchroniser.joint_states(10 * second, np.array([1.0]))
    live(5 * second + tenth, 12 * second, 2.0)
    frames.extend(synchroniser.finish())
    before, first, after = frames[:90], frames[90], frames[91:]
    assert first.state is None  # what arrived around it is of two clocks
    assert [frame.begins for frame in frames if frame.begins] == ['start', 'set back']
    assert {frame.state[0] for frame in before if frame.state is not None} == {1.0}
    assert [frame.state is not None and frame.state[0] for frame in after] == [2.0] * len(after)


@pytest.mark.parametrize(
    ('wrong', 'words'),
    [
        (states(names='xb'), "joint 'a' is missing"),
        ([m for s in ([(t, n, joints(0, ['a'], [0.0])), (t, n, joints(0, ['b'], [0.0]))]
                      for t, n, _ in states()) for m in s], "joint 'b' is missing"),
        ([], 'no messages on /joint_states'),
    ],
    ids=['renamed', 'arm and gripper apart', 'none'],
)  # fmt: skip
def test_without_positions_there_is_no_dataset(tmp_path, robot, capsys, wrong, words) -> None:
    bag = write(tmp_path / 'run', run(wrong))
    assert main(Config((bag,), str(robot()), tmp_path / 'data')) == 1
    assert words in capsys.readouterr().out


@pytest.mark.parametrize('every', [10 * MS, 100 * MS])
@pytest.mark.parametrize('shift', [0, 3 * MS])
def test_two_publishers_that_contradict_one_another_are_not_believed(
    tmp_path, robot, capsys, every, shift
) -> None:
    """One tells where the joints are, another that they are at zero: as often, or less."""
    zeros = [(when + shift, *rest) for when, *rest in states(every, position=lambda _: 0.0)]
    zeros = [(t, n, joints(t + shift, ['a', 'b'], [0.0, 0.0])) for t, n, _ in zeros]
    real = states(position=lambda t: 2.0 + where(t))
    bag = write(tmp_path / 'run', run(sorted([*real, *zeros], key=lambda m: m[0])))
    assert main(Config((bag,), str(robot()), tmp_path / 'data')) == 1
    assert 'does another node publish there?' in capsys.readouterr().out


def test_a_joint_that_turns_over_its_end_is_no_contradiction(tmp_path, robot) -> None:
    def turning(t: int) -> float:
        return (where(t) + 1.0) % 2.0

    bag = write(tmp_path / 'run', run(states(position=turning)))
    found, report = episodes(bag, robot(action_repeat=1))
    assert found and not report.refused and not report.stateless


def track(reach: float = 1.0) -> JointTrack:
    return JointTrack(200 * MS, np.array([reach]), 0.1)


def test_what_is_kept_of_joint_states_is_bounded() -> None:
    one = track()
    for i in range(5 * MAX_STATES):
        one.add(State(i, np.zeros(1)))
    assert len(one._states) <= MAX_STATES
    newest = one.nearest(10**9)
    assert newest is not None and newest.stamp_ns == 5 * MAX_STATES - 2


@settings(max_examples=100)
@given(st.lists(st.integers(0, 10**9 - 1), min_size=2, max_size=50), st.integers(0, 10**9))
def test_the_nearest_is_the_nearest_whatever_the_order(stamps, wanted) -> None:
    one = track()
    for stamp in stamps:
        one.add(State(stamp, np.zeros(1)))
    one.settle()
    found = one.nearest(wanted)
    assert found is not None
    assert abs(found.stamp_ns - wanted) == min(abs(stamp - wanted) for stamp in stamps)


def test_a_clock_that_is_set_back_leaves_no_positions_of_before(tmp_path, robot) -> None:
    """Three seconds are lived through twice, with other positions."""
    first = run(states(position=lambda t: 5.0 + where(t), until=START + STEPS * PERIOD))
    again = run(states(until=START + (STEPS + 5) * PERIOD))
    after = [(when + 10**10, topic, message) for when, topic, message in again]
    found, report = episodes(write(tmp_path / 'run', [*first, *after]), robot(action_repeat=1))
    second = [(name, e) for name, e in found if e.state[0, 0] < 4.0]
    assert report.set_back == 1 and report.gaps == 0 and not report.stateless
    assert len(second) == len(found) / 2 == 2
    check_states(second, atol=0.02)
