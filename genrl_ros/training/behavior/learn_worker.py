"""Learns one task in a process of its own: `python -m genrl_ros.training.behavior.learn_worker`.

One line of JSON on standard input says what to learn. Standard output carries JSON lines:
`{"progress": {...}}` while learning, and one `{"result": {...}}` or `{"error": "..."}` at the end.
SIGTERM ends learning early and keeps the best policy so far. When standard input closes, whoever
asked is gone, and so is this process.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genrl_ros.system.locks import exclusive
from genrl_ros.system.processes import die_with_parent, yield_to_others

NICENESS = 10


@dataclasses.dataclass(frozen=True)
class LearnRequest:
    """What a worker is asked to learn.

    Attributes:
        model: folder of the world model.
        embedding: the prompt in the embedder's space.
        task_id: names the task.
        prompt: the task in words.
        policies: folder that the bundle's folder is written into.
        config: fields of `LearnConfig` that differ from the model's own settings; `precision` may
            be `auto`: what is fastest here.
        device: what to compute on.
    """

    model: str
    embedding: list[float]
    task_id: str
    prompt: str
    policies: str
    config: dict[str, Any]
    device: str = 'cpu'


def main() -> int:
    """Serve one request; the exit status is 0 if there is a result."""
    yield_to_others(NICENESS)
    die_with_parent()
    # Whatever a library prints must not end up among the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), 'w', buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())

    def answer(**message: object) -> None:
        answers.write(json.dumps(message) + '\n')

    try:
        request = LearnRequest(**json.loads(sys.stdin.readline()))
        threading.Thread(target=_exit_at_end_of_input, daemon=True).start()
        answer(result=serve(request, answer, stop.is_set))
        return 0
    except Exception as error:
        answer(error=f'{type(error).__name__}: {error}')
        raise


def serve(
    request: LearnRequest, answer: Callable[..., None], should_stop: Callable[[], bool]
) -> dict[str, Any]:
    """Learn what is asked for, with progress as answers; gives what `result` holds."""
    import numpy as np
    import torch

    from genrl_ros.config.learning import LearnConfig
    from genrl_ros.config.mapping import from_mapping
    from genrl_ros.training.behavior.learn import RECORD, Assignment, learn, place
    from genrl_ros.training.engine.checkpoints import Checkpoints, OtherTrainingError
    from genrl_ros.training.engine.device import check_device
    from genrl_ros.training.engine.run import Progress, Run
    from genrl_ros.training.engine.speed import fastest_precision
    from genrl_ros.world_model.checkpoint import read_card

    check_device(request.device)
    model = Path(request.model)
    _, card = read_card(model)
    asked = {**card.training.get('learning', {}), **request.config}
    automatic = asked.get('precision') == 'auto'
    if automatic:
        del asked['precision']
    config = from_mapping(LearnConfig, asked, 'config')
    if automatic:
        torch.set_num_threads(config.threads)
        config = dataclasses.replace(config, precision=fastest_precision(request.device))

    def on_progress(progress: Progress) -> None:
        left = (progress.of - progress.update) / max(progress.updates_per_s, 1e-9)
        answer(
            progress={
                'stage': progress.stage,
                'update': progress.update,
                'of': progress.of,
                'imagined_reward': progress.metrics['reward'],
                'updates_per_s': progress.updates_per_s,
                'remaining_s': left if progress.updates_per_s else 0.0,
            }
        )

    policies = Path(request.policies)
    embedding = np.asarray(request.embedding, np.float32)
    task = Assignment(model, embedding, request.prompt, request.task_id)
    run = Run(policies, RECORD, on_progress, should_stop, device=request.device)
    unfinished = place(policies, request.task_id)
    with exclusive(policies, request.task_id):
        resumes = unfinished.exists()
        try:
            result = learn(task, config, run, export_early=True)
        except (OtherTrainingError, FloatingPointError):
            if not resumes:
                raise
            # A robot shall not wait for somebody who removes a file.
            Checkpoints(policies, unfinished.stem, RECORD.keep).set_aside()
            result = learn(task, config, run, export_early=True)
    return {
        'path': str(result.bundle_path),
        'updates': result.updates,
        'imagined_reward': result.imagined_reward,
    }


def _exit_at_end_of_input() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == '__main__':
    sys.exit(main())
