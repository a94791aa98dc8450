"""Whitened features: what is common to all states counts little."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from toy_training import TINY

from genrl_ros.behavior.actor_critic import Dream
from genrl_ros.behavior.rewards.named import reward_of
from genrl_ros.behavior.rewards.sequence import Matcher, target_features
from genrl_ros.behavior.rewards.whitening import SHRINKAGE, Whitening
from genrl_ros.config.learning import LearnConfig
from genrl_ros.world_model import latents
from genrl_ros.world_model.mfwm import MFWM


@pytest.fixture(scope='module')
def model() -> MFWM:
    torch.manual_seed(0)
    return MFWM(TINY).requires_grad_(False)


def drawn(model: MFWM, count: int) -> torch.Tensor:
    """States `(N, S, K)` that the connector draws for random embeddings."""
    noise = torch.randn(count, 16, TINY.embed_dim)
    embedding = model.aligner(F.normalize(noise, dim=-1))
    return model.connector.generate(embedding, mode=False).flatten(0, 1)


def test_ordinary_states_are_centred_and_vary_alike_in_all_directions(model: MFWM) -> None:
    whitening = Whitening.of(model, seed=0)
    plain = model.tokenizer.project(drawn(model, 256))
    white = whitening(plain)
    assert white.mean(0).norm() < 0.1 * plain.mean(0).norm() + 0.5
    before = torch.linalg.eigvalsh(torch.cov(plain.t()))
    after = torch.linalg.eigvalsh(torch.cov(white.t()))
    assert after.max() < 1.2  # with shrinkage, no direction reaches a variance of 1
    assert after.sum() / after.max() > before.sum() / before.max()
    mean = before.clamp(min=0).mean()
    expected = (before.max() / (before.max() + SHRINKAGE * mean)).item()
    assert after.max().item() == pytest.approx(expected, rel=0.15)


def test_the_same_seed_whitens_alike_and_leaves_the_random_numbers_be(model: MFWM) -> None:
    torch.manual_seed(3)
    first = Whitening.of(model, seed=1)
    following = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), following)
    assert torch.equal(Whitening.of(model, seed=1).matrix, first.matrix)
    assert not torch.equal(Whitening.of(model, seed=2).matrix, first.matrix)


def test_one_layer_projects_and_whitens(model: MFWM) -> None:
    whitening, project = Whitening.of(model, seed=0), model.tokenizer.decoder.project
    states = drawn(model, 4)
    torch.testing.assert_close(
        whitening.after(project)(states.flatten(1)),
        whitening(model.tokenizer.project(states)),
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip


def test_half_of_the_reward_is_of_whitened_features(model: MFWM) -> None:
    torch.manual_seed(1)
    steps, count, project = 12, 5, model.tokenizer.decoder.project
    prompt = torch.randn(TINY.embed_dim)
    target = target_features(model, prompt, count, steps).contiguous()
    dream = a_dream(torch.randint(TINY.classes, (steps, count, TINY.stoch)))
    plain = Matcher(project, target, TINY.stoch)
    published = reward_of(model, prompt, target, LearnConfig())(dream)
    torch.testing.assert_close(published, plain(dream))
    whitening = Whitening.of(model, seed=0)
    white = Matcher(whitening.after(project), whitening(target), TINY.stoch)
    half = LearnConfig(reward='whitened', align='none')
    both = reward_of(model, prompt, target, half)(dream)
    scores = [each.scores(dream.stoch, dream.tokens) for each in (plain, white)]
    mean = (scores[0] + scores[1]) / 2
    torch.testing.assert_close(both, mean.diagonal(dim1=1, dim2=2).t())
    # What does as the target does is worth 1 in either.
    own = a_dream(torch.randint(TINY.classes, (steps, count, TINY.stoch)))
    reached = reward_of(model, prompt, model.tokenizer.project(own.stoch), half)(own)
    torch.testing.assert_close(reached, torch.ones(steps, count), rtol=1e-3, atol=1e-3)


def a_dream(tokens: torch.Tensor) -> Dream:
    stoch = latents.one_hot(tokens, TINY.classes)
    deter = torch.zeros(*tokens.shape[:2], TINY.deter)
    return Dream(stoch, tokens, deter, raw=deter.new_zeros(0))
