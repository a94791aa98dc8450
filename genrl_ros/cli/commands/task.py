"""Set a task on a running graph, and watch: `genrl task "open the microwave"`.

It finds the graph that `genrl up` runs on this machine; with ROS_DOMAIN_ID set, the one in that
ROS domain. Ctrl-C only ends the watching; `--stop` stops learning.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console

from genrl_ros.cli.progress import bar
from genrl_ros.deploy.running import RunningGraph, running_graphs
from genrl_ros.system.environment import ros_domain

if TYPE_CHECKING:
    from genrl_ros.nodes.clients.session import Session

ANSWER_TIMEOUT_S = 120.0
POLICY_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl task`."""

    prompt: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='PROMPT')] = ''
    """What the robot shall do."""
    video: Path | None = None
    """A short video in place of a prompt; in a folder that prompt_node allows."""
    preview: bool = False
    """Show the goal only; nothing is learned, and nothing moves."""
    queue: bool = False
    """Begin after the task that is being learned; without it, this one replaces that."""
    from_here: bool = False
    """Begin where the robot is, without going home first."""
    wait: bool = False
    """Wait until the policy of the task has ended."""
    stop: bool = False
    """Stop what is being learned, and set no task."""
    namespace: str = ''
    """ROS namespace of the graph."""
    json: bool = False
    """Print the answer as JSON, and do not watch."""

    def __post_init__(self) -> None:
        given = [bool(self.prompt.strip()), self.video is not None, self.stop]
        if sum(given) != 1:
            raise ValueError('give a prompt, --video FILE or --stop, and one of them only')
        if self.preview and (self.queue or self.wait):
            raise ValueError('--preview neither waits nor drives: leave out --queue and --wait')


def main(config: Config) -> int:
    """Set the task; 0 if it was accepted and, unless it is a preview, a policy drives."""
    namespace = _talk_to(config.namespace)
    from genrl_ros.nodes.clients.session import Session, SessionError

    console = Console(quiet=config.json)
    try:
        with Session(int(os.environ.get('ROS_DOMAIN_ID', '0')), namespace=namespace) as session:
            if config.stop:
                console.print(session.stop_learning(ANSWER_TIMEOUT_S))
                return 0
            return _set(config, session, console)
    except SessionError as error:
        print(f'genrl task: {error}', file=sys.stderr)
        return 1


def _talk_to(namespace: str) -> str:
    """Choose the graph, by the environment or by what runs; gives its namespace."""
    if ros_domain() is not None:
        return namespace
    graphs = [graph for graph in running_graphs() if namespace in ('', graph.namespace)]
    if len(graphs) > 1:
        raise ValueError(f'{len(graphs)} graphs run here: {_listed(graphs)}')
    if not graphs:
        raise ValueError('no graph of `genrl up` runs here; for another one, set ROS_DOMAIN_ID')
    os.environ.update(graphs[0].environment)
    return graphs[0].namespace


def _listed(graphs: list[RunningGraph]) -> str:
    each = [
        f'{graph.domain} with ROS_DOMAIN_ID={graph.environment["ROS_DOMAIN_ID"]}'
        for graph in graphs
    ]
    return f'{", ".join(each)}. Set ROS_DOMAIN_ID to choose one'


def _set(config: Config, session: Session, console: Console) -> int:
    answer = session.set_task(
        config.prompt,
        ANSWER_TIMEOUT_S,
        video=str(config.video.resolve()) if config.video else '',
        preview=config.preview,
        queue=config.queue,
        from_here=config.from_here,
    )
    if config.json:
        print(json.dumps(vars(answer)))
        return 0
    console.print(
        f'the nearest concept is [bold]{answer.concept}[/bold]: cosine {answer.score:.2f}, '
        f'{answer.margin:.2f} ahead of the next'
    )
    console.print(f'{answer.message}; decoded goal: {answer.goal_video}')
    if not answer.learn:
        return 0 if config.preview else 1
    try:
        with bar('making the policy') as show:

            def on_feedback(feedback: Any) -> None:
                if feedback.of:  # else nothing is learned
                    note = f'{feedback.updates_per_s:.1f}/s  reward {feedback.imagined_reward:.2f}'
                    show(feedback.update, note, feedback.of, feedback.stage)

            learned = session.follow_learning(answer.task_id, on_feedback, ANSWER_TIMEOUT_S)
        console.print(f'{learned.message}: {learned.policy_path}')
        session.wait_for_policy(answer.task_id, POLICY_TIMEOUT_S)
        console.print('its policy has taken over')
        if config.wait:
            console.print(session.wait_for_end(answer.task_id))
    except KeyboardInterrupt:
        console.print('no longer watching; the task goes on (genrl task --stop stops learning)')
    return 0
