"""The whole method once: a sentence, its goal, its policy, the robot acting.

Exit status 0 only if the robot reached what the sentence asked for, within three episodes.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from genrl_ros.cli.demo_report import PASSED, report, score_of, write_curve
from genrl_ros.cli.demo_run import DemoRun
from genrl_ros.cli.discovery import private_domain
from genrl_ros.cli.options import DomainName, at_least
from genrl_ros.cli.processes import NodeProcesses, end_in_order
from genrl_ros.cli.progress import bar
from genrl_ros.data.video import write_video
from genrl_ros.deploy.graph import BRINGUP, NODES, Value, node_parameters, parameter_files
from genrl_ros.domains import registry
from genrl_ros.domains.base import Domain, Task
from genrl_ros.system.files import write_json
from genrl_ros.system.share import shipped_model
from genrl_ros.training.behavior.settings_of import settings_of

if TYPE_CHECKING:
    from genrl_ros.nodes.clients.session import Session

START_TIMEOUT_S = 120.0
GROUND_TIMEOUT_S = 120.0
POLICY_TIMEOUT_S = 30.0
REAL_TIME_FACTOR = 1.0
"""At most: in lockstep the simulator waits for a policy that is late."""
EPISODES = 3
"""How often the robot may try, each time from the start."""
EPISODE_SLOWNESS = 6.0
"""How many times slower than real time the simulator may be."""
VIDEO_SCALE = 4


@dataclass(frozen=True)
class Config:
    """Arguments of `genrl demo`."""

    domain: DomainName
    """The scene to simulate."""
    prompt: str = ''
    """What the robot shall do; the task's own words unless given."""
    task: str = ''
    """Task of the domain that the robot is measured by. Unless given, the one that the prompt asks
    for in the task's own words; without a prompt, the first of the domain."""
    learn: bool = False
    """Learn in imagination before driving where a policy could drive at once, which gains nothing
    that can be measured yet. Where there is no such policy, it learns in any case."""
    runs: Path = Path('runs')
    """The artefacts go into a folder below this one, named by the time."""
    updates: int | None = None
    """Actor-critic updates of learning; what the model asks for unless given."""
    model: Path | None = None
    """World model; the shipped one of the domain unless given."""
    params_file: Path | None = None
    """ROS parameter file that is laid over the shipped ones; what differs is enough."""

    def __post_init__(self) -> None:
        if self.updates is not None:
            at_least(self, 1, 'updates')
        what_to_do(self)  # to say what is wrong with it


def what_to_do(config: Config) -> tuple[str, Task | None]:
    """The prompt, and the task that the robot is measured by, if there is one.

    Raises:
        ValueError: if there is no such domain or task.
    """
    domain = registry.get(config.domain)
    if config.task:
        task = domain.task(config.task)
        return config.prompt or task.prompt, task
    if not config.prompt.strip():
        first = domain.tasks[0]
        return first.prompt, first
    return config.prompt, domain.task_of(config.prompt)


def main(config: Config) -> int:
    """Run the demo; 0 if the task was done, 1 if not, or if no task tells."""
    end_in_order()
    console = Console()
    model = (config.model or shipped_model(config.domain)).resolve()
    prompt, task = what_to_do(config)
    robot = registry.get(config.domain).robot
    run = DemoRun(
        (config.runs / datetime.now().strftime('%Y%m%d-%H%M%S')).resolve(), prompt, task,
        steps_per_image=round(1 / (robot.control_dt_s * robot.camera_rate_hz)),
    )  # fmt: skip
    run.folder.mkdir(parents=True)
    try:
        with private_domain() as environment:
            os.environ.update(environment)
            with NodeProcesses(
                (*NODES, BRINGUP),
                parameter_files(True, config.params_file),
                _parameters(config, model, run.folder),
                environment,
                logs=run.folder / 'log',
            ) as processes:
                _run(config, model, run, processes, console)
    except KeyboardInterrupt:
        run.error = 'interrupted'
    except (RuntimeError, ValueError, OSError) as error:  # NodeFailedError, SessionError, too
        run.error = str(error)
    run.stages.end()
    return _conclude(run, console)


def _parameters(config: Config, model: Path, folder: Path) -> dict[str, dict[str, Value]]:
    parameters = node_parameters(
        {
            'domain': config.domain,
            'embodiment': config.domain,
            'model': str(model),
            'real_time_factor': REAL_TIME_FACTOR,
        }
    )
    policies: dict[str, Value] = {'policies': str(folder / 'policies')}
    parameters['prompt_node']['runs'] = str(folder)
    parameters['trainer_node'] |= {**policies, 'updates': _updates(config, model)}
    parameters['policy_node'] |= policies
    return parameters


def _updates(config: Config, model: Path) -> int:
    """Updates that are made before driving; 0 if a policy drives at once."""
    how = settings_of(model)
    learns = config.learn or config.updates is not None or not how.from_prior
    return (config.updates or how.updates) if learns else 0


def _run(
    config: Config, model: Path, run: DemoRun, processes: NodeProcesses, console: Console
) -> None:
    from genrl_ros.nodes.clients.session import Session

    def watch() -> None:
        processes.check()
        run.memory.sample()

    ros_domain = int(os.environ['ROS_DOMAIN_ID'])
    console.print(f'[bold]{run.prompt}[/bold]  (logs and artefacts: {run.folder})')
    with Session(ros_domain, watch) as session:
        run.stages.begin('start the nodes')
        with console.status('starting the nodes, from the simulator to the command gate'):
            session.wait_for_graph(START_TIMEOUT_S)
        # Nothing drives yet, so nobody needs to look: both cores are for learning.
        session.pause(True)
        _set_task(session, run, console)
        _get_policy(_updates(config, model), session, run, console)
        _drive(registry.get(config.domain), session, run, console)


def _set_task(session: Session, run: DemoRun, console: Console) -> None:
    run.stages.begin('ground the prompt')
    run.answer = answer = session.set_task(run.prompt, GROUND_TIMEOUT_S)
    for name in ('goal.mp4', 'goal.png'):
        shutil.copyfile(Path(answer.goal_video).with_name(name), run.folder / name)
    console.print(
        f'the nearest concept is [bold]{answer.concept}[/bold]: cosine {answer.score:.2f}, '
        f'{answer.margin:.2f} ahead of the next'
    )
    console.print(f'decoded goal: {run.folder / "goal.mp4"}, {run.folder / "goal.png"}')
    if not answer.learn:
        raise ValueError(
            f'{run.prompt!r} is not learned ({answer.message}); `genrl learn --force` learns it '
            'all the same'
        )
    console.print(answer.message)


def _get_policy(updates: int, session: Session, run: DemoRun, console: Console) -> None:
    assert run.answer is not None
    if updates:
        _learn(session, run)
    else:
        run.stages.begin('get the policy')
        with console.status('the trainer exports the policy that learning starts from'):
            run.learned = session.follow_learning(
                run.answer.task_id, lambda _: None, START_TIMEOUT_S
            )
    run.stages.begin('take over the policy')
    session.wait_for_policy(run.answer.task_id, POLICY_TIMEOUT_S)


def _learn(session: Session, run: DemoRun) -> None:
    assert run.answer is not None
    run.stages.begin('learn in imagination')
    with bar('starting') as show:

        def on_feedback(feedback: Any) -> None:
            run.curve.append((feedback.update, feedback.imagined_reward))
            note = f'{feedback.updates_per_s:.1f}/s  reward {feedback.imagined_reward:.2f}'
            show(feedback.update, note, feedback.of, feedback.stage)

        run.learned = session.follow_learning(run.answer.task_id, on_feedback, START_TIMEOUT_S)
    write_curve(run.folder / 'learning_curve.png', run.curve, run.answer.concept)


def _drive(domain: Domain, session: Session, run: DemoRun, console: Console) -> None:
    run.stages.begin('drive the robot')
    task = None if run.task is None else run.task.name
    session.pause(False)
    for number in range(1, EPISODES + 1):
        with console.status(
            f'the policy drives the robot, episode {number} of {EPISODES} at most'
        ):
            recording = session.record_episode(
                task, domain.episode_s, timeout_s=domain.episode_s * EPISODE_SLOWNESS
            )
        run.recordings.append(recording)
        if run.task is None or score_of(run, recording) >= PASSED:
            break
        console.print(f'episode {number}: {task} was not reached')
    write_video(
        run.folder / 'episode.mp4',
        recording.frames,
        fps=1 / domain.robot.control_dt_s,
        scale=VIDEO_SCALE,
    )


def _conclude(run: DemoRun, console: Console) -> int:
    summary = report(run)
    write_json(run.folder / 'summary.json', summary.as_json)
    console.print(summary.table)
    if run.error:
        print(f'genrl demo: {run.error}', file=sys.stderr)
    return 0 if summary.reached and not run.error else 1
