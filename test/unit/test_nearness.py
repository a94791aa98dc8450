"""How near a state is to a prompt: how it is learned, and the reward that is told by it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

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
from genrl_ros.config.training import NearnessConfig, OptimConfig, RecordConfig
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.store.stills import HELD, STILLS, still_actions, still_frames
from genrl_ros.data.store.stretches import AHEAD, LEAD, STATES, StretchReplay
from genrl_ros.system.arrays import FloatArray, Image
from genrl_ros.system.files import sha256
from genrl_ros.training.behavior.settings_of import settings_of
from genrl_ros.training.engine.run import Run
from genrl_ros.training.model.latents import dynamics_identity, encode_dataset, follow_dataset
from genrl_ros.training.model.pretrain import train_nearness
from genrl_ros.training.model.stills import embed_stills, follow_stills
from genrl_ros.world_model import latents
from genrl_ros.world_model.checkpoint import load_mfwm, save_mfwm, weights_identity
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State
from genrl_ros.world_model.showing import following, worth

CONFIG = NearnessConfig(
    updates=300, batch=8, optimism=0.5, dropout=0.0, optim=OptimConfig(lr=1e-2)
)


def stretches(store: EpisodeStore, held: float, seed: int = 0, **more: Any) -> StretchReplay:
    return StretchReplay(store, 8, held, 6, 0.5, seed, EMBEDDER, TOKENIZER, DYNAMICS, **more)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / 'untrained')


def error_on_data(model: MFWM, store: EpisodeStore) -> float:
    """Mean squared error of what is told of recorded states and clips of the same episode."""
    batch = stretches(store, held=0.0, seed=1).sample()
    arrays = {name: torch.from_numpy(values).float() for name, values in batch.items()}
    with torch.no_grad():
        stoch = latents.mode(latents.log_probs(arrays['logits']))
        feat = torch.cat([stoch.flatten(-2), arrays['deter']], -1)
        told = model.nearness(feat[:, :, None], model.aligner(arrays['goal'])[:, None]).sigmoid()
        shown = worth(arrays['embed'], arrays['goal'], None, CONFIG)
        true = following(shown, CONFIG.discount)
    return float((told - true[:, :STATES]).square().mean())


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[MFWM, float, float]:
    """A model whose nearness was trained, and its error on recorded episodes before and then."""
    folder = tmp_path_factory.mktemp('nearness')
    torch.manual_seed(0)
    store, model = EpisodeStore.open(make_encoded_store(folder / 'data')), MFWM(TINY)
    before = error_on_data(model, store)
    train_nearness(model, stretches(store, 0.25), CONFIG, Run(folder, RecordConfig()))
    return model.requires_grad_(False), before, error_on_data(model, store)


def test_what_follows_is_worth_less_by_every_step() -> None:
    shown = torch.tensor([[0.0, 0.1, 1.0, 0.5]]).unsqueeze(-1)
    near = following(shown, discount=0.9).squeeze(-1)
    torch.testing.assert_close(near, torch.tensor([[0.81, 0.9, 1.0, 0.5]]))


def towards(*degrees: float) -> torch.Tensor:
    """Unit vectors `(N, 2)` in these directions."""
    angle = torch.tensor(degrees).deg2rad()
    return torch.stack([angle.cos(), angle.sin()], -1)


def test_a_clip_that_shows_another_concept_is_worth_less() -> None:
    known, config = towards(0.0, 30.0), NearnessConfig(floor=0.5, contrast=0.1)
    goal = towards(0.0)[None]
    clips = towards(0.0, 15.0, 30.0, -15.0, -30.0, 70.0)[None]
    alone = worth(clips, goal, None, config)[0, :, 0]
    plain = worth(clips, goal, known, replace(config, contrast=0.0))[0, :, 0]
    torch.testing.assert_close(alone, plain)
    cosine = torch.tensor([0.0, 15.0, 30.0, 15.0, 30.0, 70.0]).deg2rad().cos()
    torch.testing.assert_close(alone, ((cosine - 0.5) / 0.5).clamp(0))

    told = worth(clips, goal, known, config)[0, :, 0]
    assert told[0] == pytest.approx(1.0), 'the goal itself'
    assert told[2] < 0.4 * alone[2], 'the other concept'
    assert told[1] < told[3] and told[2] < told[4], 'as near to the goal, nearer to the other'
    torch.testing.assert_close(told[3:5], alone[3:5])
    assert told[5] == 0.0
    torch.testing.assert_close(worth(clips, goal, known[:1], config), alone[None, :, None])


def test_it_learns_what_followed(trained: tuple[MFWM, float, float]) -> None:
    _, before, after = trained
    assert after < before / 3


def test_a_share_of_the_goals_is_known_by_name(tmp_path: Path) -> None:
    store = EpisodeStore.open(make_encoded_store(tmp_path / 'data'))
    known = np.eye(TINY.embed_dim, dtype=np.float32)[:3]
    goals = stretches(store, 0.5, known=known, named=0.5).sample()['goal']
    named = (goals.max(-1) == 1.0).sum(-1)
    assert goals.shape == (8, 6, TINY.embed_dim) and (named == 3).all()
    assert {int(row.argmax()) for row in goals[:, 3:].reshape(-1, TINY.embed_dim)} == {0, 1, 2}
    without = stretches(store, 0.5, known=None, named=0.5).sample()['goal']
    assert without.shape == goals.shape and (without.max(-1) < 1.0).all()


def test_optimism_counts_the_better_ways(tmp_path: Path) -> None:
    """Of alike states, the more so: what is told lies above the mean of what followed."""
    store, told = EpisodeStore.open(make_encoded_store(tmp_path / 'data')), []
    for optimism in (0.5, 0.9):
        torch.manual_seed(0)
        model, how = MFWM(TINY), replace(CONFIG, updates=60, optimism=optimism, dropout=0.99)
        folder = tmp_path / str(optimism)
        train_nearness(model, stretches(store, 0.0), how, Run(folder, RecordConfig()))
        batch = stretches(store, held=0.0, seed=1).sample()
        goal, nothing = torch.from_numpy(batch['goal'][:, :1]), torch.zeros(8, 1, TINY.feat)
        with torch.no_grad():
            told.append(float(model.nearness(nothing, model.aligner(goal)).sigmoid().mean()))
    assert told[1] > told[0] + 0.05


def test_a_dream_is_worth_how_near_it_is(trained: tuple[MFWM, float, float]) -> None:
    """What the network tells of its states and the prompt; and half of it beside the goal's."""
    model, *_ = trained
    torch.manual_seed(1)
    steps, count = 17, 6
    tokens = torch.randint(TINY.classes, (steps, count, TINY.stoch))
    stoch = latents.one_hot(tokens, TINY.classes)
    deter = torch.randn(steps, count, TINY.deter)
    dream = Dream(stoch, tokens, deter, raw=deter.new_zeros(0))
    prompt = F.normalize(torch.randn(TINY.embed_dim), dim=-1)
    target = target_features(model, prompt, count, steps).contiguous()

    def worth(kind: str) -> torch.Tensor:
        config = LearnConfig(reward=kind)  # type: ignore[arg-type]
        return reward_of(model, prompt, target, config)(dream)

    told = model.nearness(torch.cat([stoch.flatten(-2), deter], -1), model.aligner(prompt))
    torch.testing.assert_close(worth('nearness'), told.sigmoid())
    half = (worth('sequence') + worth('nearness')) / 2
    torch.testing.assert_close(worth('sequence+nearness'), half)


def test_dreams_can_be_improved_by_it(trained: tuple[MFWM, float, float]) -> None:
    """Gradients reach latents and recurrent states, and following them is worth more."""
    model, *_ = trained
    torch.manual_seed(2)
    tokens = torch.randint(TINY.classes, (17, 4, TINY.stoch))
    stoch = latents.one_hot(tokens, TINY.classes).requires_grad_()
    deter = torch.randn(17, 4, TINY.deter, requires_grad=True)
    prompt = torch.randn(TINY.embed_dim)
    target = target_features(model, prompt, 4, 17).contiguous()
    reward = reward_of(model, prompt, target, LearnConfig(reward='nearness'))
    worth = reward(Dream(stoch, tokens, deter, raw=deter.new_zeros(0)))
    for_stoch, for_deter = torch.autograd.grad(worth.sum(), (stoch, deter))
    assert for_stoch.abs().max() > 0
    moved = Dream(stoch, tokens, deter + 0.1 * F.normalize(for_deter, dim=-1), deter.new_zeros(0))
    assert reward(moved).mean() > worth.mean()


def test_a_stretch_comes_with_what_follows_it(tmp_path: Path) -> None:
    """Frames in their order, and the last one again and again, as an episode stays as it ended."""
    store = EpisodeStore.open(make_encoded_store(tmp_path))
    replay = stretches(store, held=0.0)
    parts = replay.draw()
    batch = replay.read(parts)
    for row, (episode, start, still, goals, _) in enumerate(parts):
        assert still is None
        frames = np.minimum(start + np.arange(STATES + AHEAD), 11)
        states = frames[:STATES]
        assert np.array_equal(batch['embed'][row], store.embedding(EMBEDDER, episode)[frames])
        assert np.array_equal(batch['deter'][row], store.deter(DYNAMICS, episode)[states])
        assert np.array_equal(batch['logits'][row], store.logits(TOKENIZER, episode)[states])
        for goal, (name, end) in zip(batch['goal'][row], goals, strict=True):
            assert np.array_equal(goal, store.embedding(EMBEDDER, name)[end])
            assert np.linalg.norm(goal) == pytest.approx(1), 'of a whole clip'
    assert any(name == part.episode for part in parts for name, _ in part.goals)
    assert any(name != part.episode for part in parts for name, _ in part.goals)


def test_a_held_stretch_leads_to_a_frame_and_stays(tmp_path: Path) -> None:
    store = EpisodeStore.open(make_encoded_store(tmp_path))
    replay = stretches(store, held=1.0)
    parts = replay.draw()
    batch = replay.read(parts)
    for row, (episode, start, still, *_) in enumerate(parts):
        assert still is not None
        frame = still_frames(episode, 12)[still]
        lead = np.maximum(np.arange(frame - LEAD + 1, frame + 1), 0)
        assert start == lead[-1] - LEAD + 1
        assert np.array_equal(batch['deter'][row][:LEAD], store.deter(DYNAMICS, episode)[lead])
        held = store.still_states(DYNAMICS, episode)[still]
        assert np.array_equal(batch['deter'][row][LEAD:], held)
        assert (batch['logits'][row][LEAD - 1 :] == batch['logits'][row][-1]).all()
        shown = store.stills(EMBEDDER, episode)[still]
        assert np.array_equal(batch['embed'][row][LEAD : LEAD + 8], shown)
        assert (batch['embed'][row][LEAD + 8 :] == shown[-1]).all()


class MeanColour:
    """An embedder of clips by the mean of each of their frames."""

    name, identity, dim, n_frames = 'mean', 'd' * 64, 8, 8

    def embed_windows(self, frames: Image) -> FloatArray:
        mean = frames.astype(np.float32).mean((1, 2, 3))
        rows = [mean[end - 7 : end + 1] for end in range(7, len(mean))]
        return np.concatenate([np.zeros((7, 8), np.float32), np.stack(rows)])


def test_stills_are_made_of_an_episodes_own_frames(tmp_path: Path) -> None:
    """Clips end with a frame held for 1 to 8 steps; states go on from the recorded one."""
    store = EpisodeStore.open(make_encoded_store(tmp_path))
    torch.manual_seed(0)
    model = MFWM(TINY).requires_grad_(False)
    for steps in (encode_dataset(store, model.tokenizer), follow_dataset(store, model)):
        list(steps)
    list(embed_stills(store, MeanColour()))  # type: ignore[arg-type]
    list(follow_stills(store, model))
    episode, dynamics = store.episode_ids[0], dynamics_identity(model)
    frames = still_frames(episode, 12)
    assert frames.min() >= 7, 'a clip ends there'
    mean = store.image(episode).astype(np.float32).mean((1, 2, 3))
    clips, states = store.stills('d' * 64, episode), store.still_states(dynamics, episode)
    assert states.shape == (STILLS, HELD, TINY.deter)
    for frame, clip in zip(frames, clips, strict=True):
        assert np.allclose(clip[-1], mean[frame]), 'nothing moves any more'
        assert np.allclose(clip[0], [*mean[frame - 6 : frame + 1], mean[frame]])
    action = still_actions(episode, TINY.action_dim)
    assert np.abs(action).max() <= 1
    tokenizer = weights_identity(model.tokenizer)
    logits, deter = store.logits(tokenizer, episode), store.deter(dynamics, episode)
    for frame, told, found in zip(frames, action, states, strict=True):
        stoch = latents.mode(torch.from_numpy(logits[frame][None].astype(np.float32)))
        state = State(stoch, torch.from_numpy(deter[frame][None].astype(np.float32)))
        for step in range(HELD):
            after = model.sequence.advance(state, torch.from_numpy(told[step][None]))
            state = State(stoch, after)
            assert np.allclose(found[step], after[0], atol=2e-3), step


def of_format(version: int, model_folder: Path, place: Path) -> Path:
    """The same model as earlier versions wrote it, without nearness."""
    folder = shutil.copytree(model_folder, place)
    weights, description = folder / 'mfwm.safetensors', folder / 'mfwm.json'
    kept = {k: v for k, v in load_file(weights).items() if not k.startswith('nearness.')}
    if version == 4:
        kept['embedding_head.net.0.0.weight'] = torch.ones(3, 3)
    save_file(kept, weights)
    values = json.loads(description.read_text())
    values |= {'format_version': version, 'sha256': sha256(weights)}
    learning = {'continued': 0.25, 'reward': 'sequence'}
    if version == 4:
        learning |= {'from_goal': 0.25, 'reward': 'sequence+embedding'}
    values['training']['learning'] = learning
    description.write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize('version', [3, 4])
def test_models_of_earlier_formats_have_no_nearness(
    version: int, model_folder: Path, tmp_path: Path
) -> None:
    """They are read, they learn as before, and what they cannot is refused with the cure."""
    folder = of_format(version, model_folder, tmp_path / 'before')
    model, card = load_mfwm(folder)
    for settings in (card.training['learning'], asdict(settings_of(folder))):
        assert 'from_goal' not in settings
        assert settings.get('reward', 'sequence') == 'sequence', 'where the other is gone'
        assert settings['continued'] == 0.25
    assert not any(weights.any() for weights in model.nearness.parameters())
    embedding = np.eye(TINY.embed_dim, dtype=np.float32)[0]
    config = LearnConfig(updates=1, starts=4, critic_first=0, prior=0.0)
    assert learn_toy(folder, embedding, config, tmp_path / 'sequence').updates == 1
    for kind in ('nearness', 'sequence+nearness'):
        asked = LearnConfig(updates=1, starts=4, prior=0.0, reward=kind)
        with pytest.raises(ValueError, match='nearness that was never trained: `genrl connect`'):
            learn_toy(folder, embedding, asked, tmp_path / kind)


def test_a_policy_is_learned_with_it(
    trained: tuple[MFWM, float, float], model_folder: Path, tmp_path: Path
) -> None:
    model, *_ = trained
    _, card = load_mfwm(model_folder)
    folder = shutil.copytree(model_folder, tmp_path / 'model')
    known = {'nearness': asdict(CONFIG)}
    save_mfwm(folder, model, card.spec, card.embedder, card.embedder_identity, known)
    embedding = np.eye(TINY.embed_dim, dtype=np.float32)[0]
    config = LearnConfig(updates=2, starts=4, critic_first=0, prior=0.0, reward='nearness')
    learned = learn_toy(folder, embedding, config, tmp_path / 'out')
    assert learned.updates == 2
    assert (learned.bundle_path / 'actor.onnx').is_file()
