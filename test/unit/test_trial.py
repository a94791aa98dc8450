"""A bundle proves itself in a process of its own, with little time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from genrl_ros.serving.policy.bundle import BundleError
from genrl_ros.serving.policy.trial import Trial

PATIENT_S = 60.0


def test_a_good_bundle_passes(make_bundle) -> None:
    tried = Trial(PATIENT_S)
    for _ in range(2):
        tried.prove(make_bundle())


def test_a_bundle_that_works_for_an_hour_is_given_up(make_bundle, slow_actor) -> None:
    bundle = make_bundle(graphs={'actor.onnx': slow_actor})
    began = time.monotonic()
    with pytest.raises(BundleError, match='bundle-0 .*not loaded and run once within 3 s'):
        Trial(3.0).prove(bundle)
    assert time.monotonic() - began < 10.0


def test_what_is_wrong_is_said_as_if_it_were_loaded_here(
    make_bundle, shapeless_actor, endless_actor
) -> None:
    for graph, words in (
        (shapeless_actor, r'gives \(1, 0\) actions'),
        (endless_actor, "actor.onnx is not a graph that is run here: .*'Loop'"),
    ):
        with pytest.raises(BundleError, match=words):
            Trial(PATIENT_S).prove(make_bundle(graphs={'actor.onnx': graph}))


def test_an_encoder_of_another_model_is_found(make_bundle) -> None:
    with pytest.raises(BundleError, match='encoder.onnx turns 64 pixels .* says 32'):
        Trial(PATIENT_S).prove(make_bundle(image_size=32))


def test_a_bundle_that_is_exchanged_meanwhile_is_refused(make_bundle) -> None:
    first, second = make_bundle(action=0.25), make_bundle(action=0.5)
    for name in ('policy.json', 'actor.onnx'):
        (first.path / name).write_bytes((second.path / name).read_bytes())
    with pytest.raises(BundleError, match='has changed while it was loaded'):
        Trial(PATIENT_S).prove(first)


def test_a_graph_that_takes_all_memory_is_refused(make_bundle, greedy_actor) -> None:
    with pytest.raises(BundleError, match='bundle-0'):
        Trial(PATIENT_S).prove(make_bundle(graphs={'actor.onnx': greedy_actor}))


def children(pid: int) -> list[int]:
    """Processes that any thread of a process has started."""
    return [
        int(child)
        for thread in Path(f'/proc/{pid}/task').glob('*/children')
        for child in thread.read_text().split()
    ]


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has buried yet counts."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] == 'Z'
    except OSError:
        return True


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENT_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_trial_ends_with_who_started_it(make_bundle, slow_actor) -> None:
    bundle = make_bundle(graphs={'actor.onnx': slow_actor})
    run = (
        'import sys; from pathlib import Path\n'
        'from genrl_ros.serving.policy.bundle import load_bundle\n'
        'from genrl_ros.serving.policy.trial import Trial\n'
        'Trial(600).prove(load_bundle(Path(sys.argv[1])))\n'
    )
    parent = subprocess.Popen([sys.executable, '-c', run, str(bundle.path)])
    try:
        until(lambda: children(parent.pid))
        (child,) = children(parent.pid)
        # It is at work, with ONNX Runtime loaded: it has long asked to end with its parent.
        until(lambda: 'onnxruntime' in Path(f'/proc/{child}/maps').read_text())
        assert not gone(child)
    finally:
        parent.kill()
        parent.wait()
    until(lambda: gone(child))


def test_a_trial_that_nobody_needs_any_more_is_ended(make_bundle, slow_actor) -> None:
    bundle, tried = make_bundle(graphs={'actor.onnx': slow_actor}), Trial(600.0)
    problems: list[str] = []

    def prove() -> None:
        try:
            tried.prove(bundle)
        except BundleError as error:
            problems.append(str(error))

    thread = threading.Thread(target=prove)
    thread.start()
    until(lambda: children(os.getpid()) or problems)
    tried.end()
    thread.join(PATIENT_S)
    assert 'ended with status -9' in problems[0]
    with pytest.raises(BundleError, match='nobody needs it any more'):
        tried.prove(bundle)


def test_it_starts_without_torch_and_whatever_lies_in_the_folder(
    tmp_path, make_bundle, monkeypatch
) -> None:
    bundle = make_bundle()
    (tmp_path / 'numpy.py').write_text('raise SystemExit("a stray file was run")')
    run = (
        'import sys; from pathlib import Path\n'
        'from genrl_ros.serving.policy.trial import try_bundle\n'
        'try_bundle(Path(sys.argv[1]), sys.argv[2])\n'
        'sys.exit(str({"torch", "rclpy", "mujoco", "transformers"} & set(sys.modules) or ""))\n'
    )
    found = subprocess.run(
        [sys.executable, '-c', run, str(bundle.path), bundle.sha256],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stderr.strip() == ''
    monkeypatch.chdir(tmp_path)
    Trial(PATIENT_S).prove(bundle)
