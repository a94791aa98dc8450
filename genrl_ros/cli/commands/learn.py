"""`genrl learn`: one prompt, within the time that there is."""

from __future__ import annotations

from genrl_ros.cli.learn_prompt import Config, learn_prompt
from genrl_ros.cli.session import Deadline, training_ranks
from genrl_ros.domains import registry

__all__ = ['Config', 'main']


def main(config: Config) -> int:
    """Learn and export."""
    with Deadline(config.budget_s) as deadline, training_ranks(config.device) as ranks:
        bundle = learn_prompt(config, ranks, deadline.passed)
        if config.domain in registry.names():
            print(f'try it: genrl eval {config.domain} --tasks TASK --policy {bundle}')
    return 0
