"""From an embedder to its reader: train, write beside it, measure the two together."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path
from typing import Any

import torch

from genrl_ros.system.files import write_json, write_tensors
from genrl_ros.training.embedder.reader import ReaderTraining, fit_reader, training_sentences
from genrl_ros.training.embedder.source import Concepts, ConceptSource
from genrl_ros.training.engine.run import Run
from genrl_ros.vlm import unrelated
from genrl_ros.vlm.embedded import EmbeddedEmbedder
from genrl_ros.vlm.grounding import ground, ground_sentence
from genrl_ros.vlm.phrases import check_apart
from genrl_ros.vlm.reader import (
    DESCRIPTION,
    FORMAT_VERSION,
    WEIGHTS,
    ReaderNetwork,
    reader_identity,
)
from genrl_ros.vlm.sentence import FILES, SentenceModel

LEAST_REQUEST = 0.6
"""A sentence that is less likely a request is asked back; chosen with the held-out sentences."""
SURE = 1.96
"""Standard deviations of a 95 % interval."""

Scores = dict[str, Any]


def check_sentences(training: Mapping[str, Sequence[str]], concepts: Concepts) -> None:
    """Check that the reader learns nothing that it is chosen or measured with.

    Raises:
        ValueError: if it would.
    """
    kept = [*concepts.kept, *unrelated.HELD_OUT]
    check_apart([text for texts in training.values() for text in texts], kept)


def make_reader(
    concepts: Concepts, folder: Path, config: ReaderTraining, run: Run, command: str
) -> Scores:
    """Train the reader of an embedder, write it beside it, and measure both.

    Args:
        concepts: what is learned, and sentences about it.
        folder: of the embedder, whose own files stay as they are.
        config: how to train.
        run: where and how; see `loop.train`.
        command: what makes it again, for its description.

    Returns:
        The scores that `reader.json` holds.

    Raises:
        StoppedError: if `run.should_stop` said so; what was learned is saved.
        ValueError: if the sentences are mixed up.
    """
    torch.set_num_threads(1)
    began = time.perf_counter()
    model = SentenceModel()
    sentences = training_sentences(concepts, model, config.seed)
    check_sentences(sentences, concepts)
    network = fit_reader(model, sentences, config, run)
    made = {
        'date': datetime.now(UTC).strftime('%Y-%m-%d'),
        'command': command,
        'training': asdict(config),
        'sentences': sum(map(len, sentences.values())),
        'seconds': round(time.perf_counter() - began),
        'torch': torch.__version__,
    }
    write(folder, concepts, network, made)
    scores = measure(EmbeddedEmbedder(folder), concepts)
    write(folder, concepts, network, {**made, 'scores': scores})
    return scores


def write(
    folder: Path, concepts: Concepts, network: ReaderNetwork, made: Mapping[str, object]
) -> None:
    """Write `reader.safetensors` and `reader.json`."""
    weights = {name: t.detach().contiguous() for name, t in network.state_dict().items()}
    sentence_model = FILES['model.safetensors']
    meta = {
        'format_version': FORMAT_VERSION,
        'identity': reader_identity(weights),
        'sentence_model': sentence_model,
        'concepts': concepts.names,
        'network': asdict(network.config),
        'least_request': LEAST_REQUEST,
        'made': made,
    }
    write_tensors(folder / WEIGHTS, {name: tensor.numpy() for name, tensor in weights.items()})
    write_json(folder / DESCRIPTION, meta)


def measure(embedder: EmbeddedEmbedder, concepts: Concepts) -> Scores:
    """How many sentences of each set each domain's robot would act on, by the domain's name."""
    return {name: _of_domain(embedder, name, source) for name, source in concepts.sources.items()}


def _of_domain(embedder: EmbeddedEmbedder, domain: str, source: ConceptSource) -> Scores:
    sets = {
        **source.measured,
        'unrelated, without words of the domain': unrelated.HELD_OUT,
        'tested, unrelated': source.tested.unrelated,
        'tested, negated': source.tested.negated,
    }
    found: Scores = {name: _driven(embedder, texts, domain) for name, texts in sets.items()}
    for what, phrases in (('held-out', source.held_out), ('tested', source.tested.request)):
        right: list[str] = []
        wrong: list[str] = []
        for concept, texts in phrases.items():
            own = embedder.bank.words[embedder.bank.names.index(concept)]
            for text in texts:
                nearest = ground(embedder, embedder.embed_text([text])[0]).concept
                (right if nearest == own else wrong).append(text)
        found[f'{what} phrases, placed rightly'] = _driven(embedder, right, domain)
        found[f'{what} phrases, placed wrongly'] = _driven(embedder, wrong, domain)
    return found


def _driven(embedder: EmbeddedEmbedder, texts: Sequence[str], domain: str) -> Scores:
    found = [ground_sentence(embedder, text, domain) for text in texts]
    driven = [grounding for _, grounding in found if grounding.known]
    before = [embedding for embedding, _ in found if ground(embedder, embedding, domain).known]
    low, high = wilson(len(driven), len(texts))
    return {
        'sentences': len(texts),
        'driven': len(driven),
        'interval': [max(0.0, round(low, 3)), min(1.0, round(high, 3))],
        'driven_by_score_alone': len(before),
    }


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    share, square = hits / count, SURE**2
    middle = share + square / (2 * count)
    spread = SURE * sqrt(share * (1 - share) / count + square / (4 * count**2))
    return (middle - spread) / (1 + square / count), (middle + spread) / (1 + square / count)
