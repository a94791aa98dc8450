"""Runs a node as a process: one way to start, one way to stop."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable
from types import FrameType

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from genrl_ros.nodes.ros.lifecycle import ManagedNode
from genrl_ros.system.environment import ros_variables

LAST_WORDS = 20
"""Callbacks that a deactivated node may still have waiting."""
SIGNAL_CHECK_S = 0.2
"""Python runs signal handlers only when the executor comes back from waiting."""


def run(make_node: Callable[[], Node]) -> int:
    """Make a node and spin it until it is told to end.

    SIGINT and SIGTERM may come any number of times, as they do when both a terminal and a parent
    process send them; the node is destroyed once, which stops what it drives.

    Returns:
        The exit status: 0 after a signal, 1 after an error, which is logged.
    """
    node: Node | None = None
    stopping = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal stopping
        first, stopping = not stopping, True
        if first and (node is None or getattr(node, 'loading', False)):
            raise KeyboardInterrupt  # whatever it is loading need not be waited for

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stop)
    warnings.filterwarnings('ignore', module='rclpy')  # they name its files, and nobody here
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # whatever it is, it comes from how the process was started
        sys.stderr.write(f'ROS cannot be started: {_line(error)}\n')
        return 1
    executor = SingleThreadedExecutor()
    try:
        node = make_node()
        executor.add_node(node)
        while not stopping:
            executor.spin_once(timeout_sec=SIGNAL_CHECK_S)
        node.get_logger().info('ends, as asked')
        return 0
    except (ExternalShutdownException, KeyboardInterrupt):
        return 0
    except Exception as error:
        logger = node.get_logger() if node is not None else get_logger('genrl_ros')
        logger.fatal(_line(error))
        return 1
    finally:
        if node is not None:
            _conclude(node, executor)
            node.destroy_node()
        executor.shutdown()
        rclpy.try_shutdown()
        for signum in (signal.SIGINT, signal.SIGTERM):  # it ends, however often it is told to
            signal.signal(signum, signal.SIG_IGN)


def _conclude(node: Node, executor: SingleThreadedExecutor) -> None:
    """Deactivate a node and let it say what it still has to say, such as results of actions."""
    if isinstance(node, ManagedNode) and node.active and rclpy.ok():
        node.finish()
        for _ in range(LAST_WORDS):
            executor.spin_once(timeout_sec=0.0)


def _line(error: Exception) -> str:
    """An error in one line; where ROS failed, with the variables that it was started with."""
    text = f'{type(error).__name__}: {" ".join(str(error).split())}'
    variables = ros_variables() if type(error).__name__ == 'RCLError' else ''
    return f'{text} (set are: {variables})' if variables else text


def main(make_node: Callable[[], Node]) -> None:
    """Run a node and exit with its status, without taking the interpreter and libraries down.

    That would take seconds on a busy machine, and a signal meanwhile would change the status.
    """
    status = run(make_node)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
