"""The memory of a process tree counts what its processes share once."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection

import numpy as np

from genrl_ros.system.memory import tree_bytes

MIB = 2**20


def hold(pipe: Connection, size: int) -> None:
    held = np.ones(size, np.uint8)
    pipe.send(held.nbytes)
    pipe.recv()


def with_a_child(size: int) -> int:
    """Memory while a forked child, which sees all of ours, has so many bytes of its own."""
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context('fork').Process(target=hold, args=(there, size))
    child.start()
    here.recv()
    try:
        return tree_bytes()
    finally:
        here.send('end')
        child.join()


def test_a_child_counts_and_what_it_shares_counts_once() -> None:
    shared = np.ones(256 * MIB, np.uint8)
    small, large = with_a_child(MIB), with_a_child(128 * MIB)
    assert 100 * MIB < large - small < 160 * MIB
    assert small < tree_bytes() + shared.nbytes / 2


def test_a_process_that_is_gone_has_none() -> None:
    child = multiprocessing.get_context('fork').Process(target=int)
    child.start()
    child.join()
    assert child.pid is not None
    assert tree_bytes(child.pid) == 0
