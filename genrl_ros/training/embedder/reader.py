"""Trains the reader, which says what prompts are not to be acted on, resumable at any moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from genrl_ros.system.arrays import FloatArray
from genrl_ros.training.embedder.source import Concepts
from genrl_ros.training.engine.loop import Metrics, Training, train
from genrl_ros.training.engine.one_cycle import OneCycle
from genrl_ros.training.engine.run import Run, StoppedError
from genrl_ros.vlm.reader import OBJECTIONS, ReaderConfig, ReaderNetwork, pad
from genrl_ros.vlm.sentence import SentenceModel

SENTENCES_A_PASS = 1024
MIN_LETTERS = 4
NEAR = 0.55
"""Words whose sentence features are as near as this to a name of the domain may stand for it."""


@dataclass(frozen=True)
class ReaderTraining:
    """How the reader is trained."""

    steps: int = 2500
    """Updates."""
    batch: int = 256
    """Sentences of an update."""
    learning_rate: float = 4e-3
    """Peak learning rate of AdamW."""
    weight_decay: float = 0.02
    """Decoupled weight decay."""
    smoothing: float = 0.02
    """Share of the target that is spread over all classes."""
    seed: int = 0
    """Of the sentences, the initial weights and every draw."""

    def __post_init__(self) -> None:
        for name in ('steps', 'batch', 'learning_rate'):
            if getattr(self, name) <= 0:
                raise ValueError(f'reader.{name} must be positive')


def training_sentences(
    concepts: Concepts, model: SentenceModel, seed: int
) -> dict[str, tuple[str, ...]]:
    """What the reader learns: sentences by concept, then by objection.

    What is a request in one domain is objected to in none: whose robot it is for is told apart
    later (see `vlm.grounding.ground`).
    """
    rng = np.random.default_rng(seed)
    asked = concepts.requests(rng)
    own = [sentence for group in asked.values() for sentence in group]
    words = foreign_words(model, own, concepts.things)
    refused = concepts.objections(rng, (*own, *concepts.evaluation_prompts), words)
    return asked | {str(objection): refused[objection] for objection in OBJECTIONS}


def foreign_words(
    model: SentenceModel, own: Sequence[str], things: Sequence[str]
) -> tuple[str, ...]:
    """Words of the language that neither stand in a domain's sentences nor near its things."""
    used = {word for sentence in own for word in sentence.lower().split()}
    found = [w for w in model.words() if len(w) >= MIN_LETTERS and w not in used]
    names = {thing.split()[-1] for thing in things}
    nearness = model.embed(found) @ model.embed(sorted(names)).T
    return tuple(w for w, near in zip(found, nearness.max(1), strict=True) if near < NEAR)


def fit_reader(
    model: SentenceModel,
    sentences: Mapping[str, Sequence[str]],
    config: ReaderTraining,
    run: Run,
) -> ReaderNetwork:
    """Learn to read; gives the network in evaluation mode.

    Args:
        model: the frozen sentence model.
        sentences: by concept, then by objection.
        config: how.
        run: where; see `loop.train`, also for what is raised.
    """
    learning = _Learning(model, sentences, config, run.should_stop)
    train(learning, run)
    return learning.network.eval()


class _Learning(Training):
    """The network and how it moves on; arguments as for `fit_reader`."""

    def __init__(
        self,
        model: SentenceModel,
        sentences: Mapping[str, Sequence[str]],
        config: ReaderTraining,
        should_stop: Callable[[], bool],
    ) -> None:
        texts = [text for group in sentences.values() for text in group]
        counts = torch.tensor([len(group) for group in sentences.values()])
        settings = {**asdict(config), 'sentences': sha256('\n'.join(texts).encode()).hexdigest()}
        super().__init__('reader', config.steps, settings)
        self._config = config
        self._target = torch.arange(len(counts)).repeat_interleave(counts)
        self._odds = counts.float().rsqrt()[self._target]
        self._tokens = _read(model, texts, should_stop)
        self._generator = torch.Generator().manual_seed(config.seed)
        torch.manual_seed(config.seed)
        self.network = ReaderNetwork(ReaderConfig(len(counts) - len(OBJECTIONS))).train()
        self._optimiser = OneCycle(
            self.network.parameters(), config.learning_rate, config.weight_decay, config.steps
        )

    @property
    def done(self) -> int:
        """Updates done."""
        return self._optimiser.done

    def update(self) -> Metrics:
        """One update with sentences drawn anew, seldom classes more often than they are."""
        chosen = torch.multinomial(self._odds, self._config.batch, generator=self._generator)
        logits = self.network(*pad([self._tokens[i] for i in chosen.tolist()]))
        loss = F.cross_entropy(
            logits.flatten(0, 1),
            self._target[chosen].repeat(len(logits)),
            label_smoothing=self._config.smoothing,
        )
        self.guard.check(loss.item())
        self._optimiser.step(loss)
        return {'loss': loss.item()}

    def state_dict(self) -> dict[str, Any]:
        """The network, its moments, and where among the draws it is."""
        return {
            **self._optimiser.state_dict(),
            'network': self.network.state_dict(),
            'generator': self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.network.load_state_dict(state['network'])
        self._optimiser.load_state_dict(state)
        self._generator.set_state(state['generator'])

    def pass_over(self, failures: Sequence[Mapping[str, Any]]) -> None:
        """Go on with other draws."""
        self._generator.manual_seed(self._config.seed + len(failures))


def _read(
    model: SentenceModel, texts: Sequence[str], should_stop: Callable[[], bool]
) -> list[FloatArray]:
    """Tokens of all sentences, in half precision to save memory."""
    tokens: list[FloatArray] = []
    for start in range(0, len(texts), SENTENCES_A_PASS):
        if should_stop():
            raise StoppedError(f'the reader has looked at {start} of {len(texts)} sentences')
        found = model.tokens(texts[start : start + SENTENCES_A_PASS])
        tokens += [each.astype(np.float16) for each in found]
    return tokens
