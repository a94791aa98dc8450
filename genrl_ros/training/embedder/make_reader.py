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
from genrl_ros.training.embedder.source import ConceptSource
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


def check_sentences(training: Mapping[str, Sequence[str]], source: ConceptSource) -> None:
    """Check that the reader learns nothing that it is chosen or measured with.

    Raises:
        ValueError: if it would.
    """
    kept = [*source.evaluation_prompts, *unrelated.HELD_OUT]
    tests = [texts for name, texts in source.measured.items() if not name.startswith('choice/')]
    for texts in (*source.held_out.values(), *tests):
        kept += texts
    check_apart([text for texts in training.values() for text in texts], kept)


def make_reader(
    source: ConceptSource, folder: Path, config: ReaderTraining, run: Run, command: str
) -> Scores:
    """Train the reader of an embedder, write it beside it, and measure both.

    Args:
        source: the concepts and their sentences.
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
    sentences = training_sentences(source, model, config.seed)
    check_sentences(sentences, source)
    network = fit_reader(model, sentences, config, run)
    made = {
        'date': datetime.now(UTC).strftime('%Y-%m-%d'),
        'command': command,
        'training': asdict(config),
        'sentences': sum(map(len, sentences.values())),
        'seconds': round(time.perf_counter() - began),
        'torch': torch.__version__,
    }
    write(folder, source, network, made)
    scores = measure(EmbeddedEmbedder(folder), source)
    write(folder, source, network, {**made, 'scores': scores})
    return scores


def write(
    folder: Path, source: ConceptSource, network: ReaderNetwork, made: Mapping[str, object]
) -> None:
    """Write `reader.safetensors` and `reader.json`."""
    weights = {name: t.detach().contiguous() for name, t in network.state_dict().items()}
    sentence_model = FILES['model.safetensors']
    meta = {
        'format_version': FORMAT_VERSION,
        'identity': reader_identity(weights),
        'sentence_model': sentence_model,
        'concepts': source.concepts,
        'network': asdict(network.config),
        'least_request': LEAST_REQUEST,
        'made': made,
    }
    write_tensors(folder / WEIGHTS, {name: tensor.numpy() for name, tensor in weights.items()})
    write_json(folder / DESCRIPTION, meta)


def measure(embedder: EmbeddedEmbedder, source: ConceptSource) -> Scores:
    """How many sentences of each set would be driven, and how many by the score alone."""
    sets = {**source.measured, 'unrelated, without words of the domain': unrelated.HELD_OUT}
    found: Scores = {name: _driven(embedder, texts) for name, texts in sets.items()}
    right: list[str] = []
    wrong: list[str] = []
    for concept in source.concepts:
        for text in source.held_out[concept]:
            nearest = ground(embedder, embedder.embed_text([text])[0]).concept
            is_own = nearest == embedder.bank.words[embedder.bank.names.index(concept)]
            (right if is_own else wrong).append(text)
    found['held-out phrases, placed rightly'] = _driven(embedder, right)
    found['held-out phrases, placed wrongly'] = _driven(embedder, wrong)
    return found


def _driven(embedder: EmbeddedEmbedder, texts: Sequence[str]) -> Scores:
    found = [ground_sentence(embedder, text) for text in texts]
    driven = [grounding for _, grounding in found if grounding.known]
    before = [embedding for embedding, _ in found if ground(embedder, embedding).known]
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
