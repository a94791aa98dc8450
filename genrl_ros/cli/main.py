"""The `genrl` command: finds the subcommand, and imports nothing else before it is asked for."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, Protocol, cast

from genrl_ros.system.environment import check_drawing, check_ranks, check_ros

COMMANDS = {
    'up': 'start the nodes of a domain without ROS launch',
    'task': 'set a task on a running graph, and watch',
    'demo': 'prompt, goal, policy, driving: the whole method, once',
    'eval': 'measure success rates in the simulator, without ROS',
    'audit': 'measure whether rewards know success when they see it',
    'film': 'film a task as an expert does it: a video prompt',
    'learn': 'learn the policy of one prompt in imagination',
    'collect': 'make a dataset of episodes',
    'record': 'record the runs of a robot, one bag an episode',
    'ingest': 'make a dataset of recorded runs',
    'preflight': 'check a running graph against an embodiment file',
    'embed': 'embed the clips of a dataset',
    'pretrain': 'train the world model on a dataset',
    'train-all': 'collect, embed, pretrain, evaluate and export, in stages',
    'connect': 'train connector and aligner for an embedder',
    'train-collector': 'train the policies that make a dataset',
    'train-embedder': 'train the small video-language embedder',
    'bench': 'measure how fast this machine trains',
    'doctor': 'check the installation and say how to mend it',
}
CHECKS: dict[str, tuple[Callable[[], None], ...]] = {
    **dict.fromkeys(('up', 'demo', 'record', 'preflight'), (check_ros,)),
    **dict.fromkeys(('collect', 'eval', 'film', 'train-embedder'), (check_drawing,)),
    **dict.fromkeys(('learn', 'pretrain', 'connect'), (check_ranks,)),
    'train-all': (check_drawing, check_ranks),
}
"""What has to be well with environment variables before a command begins."""
USAGE_ERROR = 2
INTERRUPTED = 130


class Command(Protocol):
    """What a module of a subcommand has to offer."""

    Config: type
    """Frozen dataclass; its fields are the subcommand's arguments, their docstrings the help."""

    def main(self, config: Any) -> int:
        """Run, and return the exit status."""
        ...


def load(name: str) -> Command:
    """Import the module of a subcommand, such as `genrl_ros.cli.commands.train_embedder`."""
    return cast(
        Command, importlib.import_module(f'genrl_ros.cli.commands.{name.replace("-", "_")}')
    )


def usage() -> str:
    """What `genrl --help` shows."""
    width = max(map(len, COMMANDS))
    lines = [f'  {name:<{width}}  {purpose}' for name, purpose in COMMANDS.items()]
    return '\n'.join(
        [
            'usage: genrl [--version] [--traceback] COMMAND [ARGUMENTS]',
            '',
            *lines,
            '',
            'genrl COMMAND --help tells more. --traceback shows where an error came from.',
        ]
    )


def run(name: str, arguments: Sequence[str]) -> int:
    """Parse the arguments of a subcommand and run it."""
    with _nothing_to_save():
        import tyro

        from genrl_ros.cli.defaults import defaults

        command = load(name)
    config: Any = tyro.cli(
        command.Config,
        **defaults(name, command.Config, arguments),
        prog=f'genrl {name}',
        description=sys.modules[command.Config.__module__].__doc__,
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    for check in CHECKS.get(name, ()):
        check()
    return command.main(config)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `genrl`; returns the exit status.

    Errors that a user can mend (`ValueError`, `OSError`, a training that diverged) become one
    line on stderr.
    """
    # No process that a command starts looks for modules in the current folder, as `python -P`.
    os.environ['PYTHONSAFEPATH'] = '1'
    rest = list(sys.argv[1:] if arguments is None else arguments)
    traceback = rest[:1] == ['--traceback']
    if traceback:
        del rest[0]
    if rest == ['--version']:
        print(f'genrl_ros {_version()}')
        return 0
    if not rest or rest[0] in ('-h', '--help', 'help'):
        print(usage())
        return 0 if rest else USAGE_ERROR
    name, rest = rest[0], rest[1:]
    if name not in COMMANDS:
        print(f'genrl: there is no command {name!r}\n\n{usage()}', file=sys.stderr)
        return USAGE_ERROR
    try:
        return run(name, rest)
    except KeyboardInterrupt:
        print(f'genrl {name}: interrupted', file=sys.stderr)
        return INTERRUPTED
    except (OSError, ValueError, FloatingPointError) as error:
        if traceback:
            raise
        print(f'genrl {name}: {_which_process()}{error}', file=sys.stderr)
        return 1


@contextlib.contextmanager
def _nothing_to_save() -> Iterator[None]:
    """A block in which Ctrl-C ends the process: imported libraries may swallow an exception."""

    def end(signum: int, frame: FrameType | None) -> None:
        os.write(sys.stderr.fileno(), b'genrl: interrupted before it began\n')
        os._exit(INTERRUPTED)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _version() -> str:
    try:
        return importlib.metadata.version('genrl_ros')
    except importlib.metadata.PackageNotFoundError:
        return 'from a folder, not installed'


def _which_process() -> str:
    """Which of torchrun's processes this is, where there are several."""
    world, rank = os.environ.get('WORLD_SIZE', '1'), os.environ.get('RANK')
    return '' if world == '1' or rank is None else f'process {rank} of {world}: '


if __name__ == '__main__':
    sys.exit(main())
