"""The embedding head, and the reward that is told by it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from toy_training import (
    DYNAMICS,
    EMBEDDER,
    TINY,
    TOKENIZER,
    learn_toy,
    make_encoded_store,
    make_model,
)

from genrl_ros.behavior.actor_critic import Dream
from genrl_ros.behavior.rewards.named import reward_of
from genrl_ros.behavior.rewards.sequence import target_features
from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.training import EmbeddingHeadConfig, OptimConfig, RecordConfig
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.store.replay import StateReplay
from genrl_ros.system.files import sha256
from genrl_ros.training.engine.run import Run
from genrl_ros.training.model.pretrain import train_embedding_head
from genrl_ros.world_model import latents
from genrl_ros.world_model.checkpoint import load_mfwm, save_mfwm
from genrl_ros.world_model.mfwm import MFWM

CONFIG = EmbeddingHeadConfig(
    updates=150, batch=8, frames=4, dropout=0.0, optim=OptimConfig(lr=1e-2)
)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / 'untrained')


def told_of_data(model: MFWM, store: EpisodeStore) -> float:
    """Mean cosine of head and embedder on recorded frames."""
    batch = StateReplay(store, 8, 4, 1, EMBEDDER, TOKENIZER, DYNAMICS).sample()
    tensors = {name: torch.from_numpy(values) for name, values in batch.items()}
    with torch.no_grad():
        stoch = latents.mode(latents.log_probs(tensors['logits'].float()))
        feat = torch.cat([stoch.flatten(-2), tensors['deter'].float()], -1)
        told = model.embedding_head(feat)
        said = F.normalize(tensors['embed'], dim=-1)
    return float((told * said).sum(-1).mean())


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[MFWM, float, float]:
    """A model whose head was trained, and what it told of recorded clips before and then."""
    folder = tmp_path_factory.mktemp('head')
    torch.manual_seed(0)
    store, model = EpisodeStore.open(make_encoded_store(folder / 'data')), MFWM(TINY)
    before = told_of_data(model, store)
    replay = StateReplay(store, 8, 4, 0, EMBEDDER, TOKENIZER, DYNAMICS)
    train_embedding_head(model, replay, CONFIG, Run(folder, RecordConfig(picture_every=0)))
    return model.requires_grad_(False), before, told_of_data(model, store)


def test_the_head_learns_what_the_embedder_says(trained: tuple[MFWM, float, float]) -> None:
    _, before, after = trained
    assert abs(before) < 0.3
    assert after > before + 0.3


def test_a_dream_is_worth_what_it_shows(trained: tuple[MFWM, float, float]) -> None:
    """The cosine of prompt and head, state by state; and half of it beside the goal's states."""
    model, *_ = trained
    torch.manual_seed(1)
    steps, count = 17, 6
    tokens = torch.randint(TINY.classes, (steps, count, TINY.stoch))
    stoch = latents.one_hot(tokens, TINY.classes)
    deter = torch.randn(steps, count, TINY.deter)
    dream = Dream(stoch, tokens, deter, raw=deter.new_zeros(0))
    prompt = torch.randn(TINY.embed_dim)
    target = target_features(model, prompt, count, steps).contiguous()

    def worth(kind: str) -> torch.Tensor:
        config = LearnConfig(reward=kind)  # type: ignore[arg-type]
        return reward_of(model, prompt, target, config)(dream)

    told = model.embedding_head(torch.cat([stoch.flatten(-2), deter], -1))
    torch.testing.assert_close(worth('embedding'), told @ model.aligner(prompt))
    half = (worth('sequence') + worth('embedding')) / 2
    torch.testing.assert_close(worth('sequence+embedding'), half)


def test_dreams_can_be_improved_by_it(trained: tuple[MFWM, float, float]) -> None:
    """Gradients reach latents and recurrent states, and following them is worth more."""
    model, *_ = trained
    torch.manual_seed(2)
    tokens = torch.randint(TINY.classes, (17, 4, TINY.stoch))
    stoch = latents.one_hot(tokens, TINY.classes).requires_grad_()
    deter = torch.randn(17, 4, TINY.deter, requires_grad=True)
    prompt = torch.randn(TINY.embed_dim)
    target = target_features(model, prompt, 4, 17).contiguous()
    reward = reward_of(model, prompt, target, LearnConfig(reward='embedding'))
    worth = reward(Dream(stoch, tokens, deter, raw=deter.new_zeros(0)))
    for_stoch, for_deter = torch.autograd.grad(worth.sum(), (stoch, deter))
    assert for_stoch.abs().max() > 0
    moved = Dream(stoch, tokens, deter + 0.1 * F.normalize(for_deter, dim=-1), deter.new_zeros(0))
    assert reward(moved).mean() > worth.mean()


def test_frames_come_with_the_clip_that_ends_there(tmp_path: Path) -> None:
    """From anywhere but the first frames, of which there is no clip."""
    store = EpisodeStore.open(make_encoded_store(tmp_path))
    replay = StateReplay(store, 6, 20, 0, EMBEDDER, TOKENIZER, DYNAMICS)
    parts = replay.draw()
    batch, seen = replay.read(parts), {now for part in parts for now in part.now}
    assert seen == set(range(7, 12))
    for row, (episode, now) in enumerate(parts):
        frames = np.array(now)
        assert np.array_equal(batch['embed'][row], store.embedding(EMBEDDER, episode)[frames])
        assert np.array_equal(batch['deter'][row], store.deter(DYNAMICS, episode)[frames])
        assert np.array_equal(batch['logits'][row], store.logits(TOKENIZER, episode)[frames])


def without_head(model_folder: Path, place: Path) -> Path:
    """The same model in the format before, which had no head."""
    folder = shutil.copytree(model_folder, place)
    weights, description = folder / 'mfwm.safetensors', folder / 'mfwm.json'
    kept = {k: v for k, v in load_file(weights).items() if not k.startswith('embedding_head.')}
    save_file(kept, weights)
    values = json.loads(description.read_text())
    values |= {'format_version': 3, 'sha256': sha256(weights)}
    description.write_text(json.dumps(values))
    return folder


def test_a_model_of_the_format_before_has_no_head(model_folder: Path, tmp_path: Path) -> None:
    """It is read, it learns as before, and a reward that needs the head is refused with a cure."""
    folder = without_head(model_folder, tmp_path / 'before')
    model, _ = load_mfwm(folder)
    assert not any(weights.any() for weights in model.embedding_head.parameters())
    embedding = np.eye(TINY.embed_dim, dtype=np.float32)[0]
    config = LearnConfig(updates=1, starts=4, critic_first=0, prior=0.0)
    assert learn_toy(folder, embedding, config, tmp_path / 'sequence').updates == 1
    for kind in ('embedding', 'sequence+embedding'):
        asked = LearnConfig(updates=1, starts=4, prior=0.0, reward=kind)
        with pytest.raises(ValueError, match='embedding head that was never trained: `genrl'):
            learn_toy(folder, embedding, asked, tmp_path / kind)


def test_a_policy_is_learned_with_it(
    trained: tuple[MFWM, float, float], model_folder: Path, tmp_path: Path
) -> None:
    model, *_ = trained
    _, card = load_mfwm(model_folder)
    folder = shutil.copytree(model_folder, tmp_path / 'model')
    known = {'embedding_head': asdict(CONFIG)}
    save_mfwm(folder, model, card.spec, card.embedder, card.embedder_identity, known)
    embedding = np.eye(TINY.embed_dim, dtype=np.float32)[0]
    config = LearnConfig(
        updates=2, starts=4, critic_first=0, prior=0.0, reward='sequence+embedding'
    )
    learned = learn_toy(folder, embedding, config, tmp_path / 'out')
    assert learned.updates == 2
    assert (learned.bundle_path / 'actor.onnx').is_file()
