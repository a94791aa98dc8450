"""The fast forms of the model compute what the plain, step-by-step definitions say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from toy_training import TINY

from genrl_ros.config.model import ModelConfig, model_preset
from genrl_ros.config.training import ConnectConfig, FocusConfig, PriorConfig, WorldModelConfig
from genrl_ros.world_model import latents
from genrl_ros.world_model.aligner import Aligner
from genrl_ros.world_model.conv import ConvDecoder
from genrl_ros.world_model.images import pixels
from genrl_ros.world_model.losses import (
    balanced_kl,
    connect_loss,
    prior_loss,
    world_model_loss,
)
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State


def millions(module: nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


def test_paper_preset_has_the_published_sizes() -> None:
    with torch.device('meta'):
        model = MFWM(model_preset('paper', 6))
    assert millions(model.tokenizer.encoder) == pytest.approx(1.55, abs=0.005)
    assert millions(model.tokenizer.decoder) == pytest.approx(9.58, abs=0.005)
    assert millions(model.tokenizer) + millions(model.sequence) == pytest.approx(23.2, abs=0.05)
    assert millions(model.connector) == pytest.approx(12.62, abs=0.005)
    assert millions(model.aligner) == pytest.approx(1.97, abs=0.005)


def test_unroll_equals_single_steps() -> None:
    torch.manual_seed(0)
    model = MFWM(TINY).double()
    stoch = torch.randn(2, 7, 4, 5).softmax(-1).double()
    action = torch.randn(2, 7, 3).double()
    is_first = torch.zeros(2, 7).double()
    is_first[:, 0] = is_first[1, 4] = 1
    fast = model.deter_along(stoch, action, is_first)
    for row in range(2):
        state = model.sequence.initial(1)
        for t in range(7):
            given = action[row, t][None]
            if is_first[row, t]:
                state, given = model.sequence.initial(1), torch.zeros_like(given)
            deter = model.sequence.advance(state, given)
            torch.testing.assert_close(fast[row, t], deter[0], rtol=1e-10, atol=1e-10)
            state = State(stoch[row, t][None], deter)


def test_linear_layer_replaces_the_first_transposed_convolution() -> None:
    torch.manual_seed(0)
    decoder = ConvDecoder(20, depth=2).double()
    plain = nn.ConvTranspose2d(64, 8, 5, 2).double()
    with torch.no_grad():
        plain.weight.copy_(decoder.spread.weight.T.reshape(64, 8, 5, 5))
        plain.bias.copy_(decoder.spread_bias)
    features = torch.randn(3, 64).double()
    expected = decoder.layers(plain(features.view(3, 64, 1, 1)))
    torch.testing.assert_close(decoder(features), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('tokenizer', ['conv', 'patch'])
def test_reconstruction_loss_is_the_squared_error_of_decoded_images(tokenizer: str) -> None:
    torch.manual_seed(0)
    config = replace(TINY, tokenizer=tokenizer)
    model = MFWM(config)
    image = torch.randint(256, (6, 3, 64, 64), dtype=torch.uint8)
    stoch = torch.randn(6, 4, 5).softmax(-1)
    difference = model.tokenizer.decode(stoch) - pixels(image)
    expected = difference.square().sum((-3, -2, -1)).mean()
    canvas = model.tokenizer.canvas(image)
    loss = model.tokenizer.reconstruction_loss(stoch, canvas)
    torch.testing.assert_close(loss, expected)

    weight = torch.ones(64, 64)
    weight[20:29, 3:7] = 30
    expected = (weight * difference.square()).sum((-3, -2, -1)).mean()
    emphasis = model.tokenizer.emphasis(FocusConfig(20, 29, 3, 7, 30.0))
    loss = model.tokenizer.reconstruction_loss(stoch, canvas, emphasis)
    torch.testing.assert_close(loss, expected)
    parameters = list(model.tokenizer.decoder.parameters())
    got, want = (torch.autograd.grad(x, parameters) for x in (loss, expected))
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_a_focus_lies_within_the_image() -> None:
    assert MFWM(TINY).tokenizer.emphasis(FocusConfig()) is None
    for wrong, what in (({'bottom': 65}, 'focus.top'), ({'left': 64}, 'focus.left')):
        with pytest.raises(ValueError, match=what):
            FocusConfig(**wrong)
    with pytest.raises(ValueError, match=r'focus\.weight'):
        FocusConfig(weight=0.0)


def test_balanced_kl_keeps_free_nats_and_splits_the_gradient() -> None:
    torch.manual_seed(0)
    post = torch.randn(2, 3, 4, 5, requires_grad=True)
    prior = torch.randn(2, 3, 4, 5, requires_grad=True)
    logq, logp = latents.log_probs(post), latents.log_probs(prior)
    plain = latents.kl(logq, logp).clamp(min=1).mean()
    loss, kl = balanced_kl(logq, logp, balance=0.85, free_nats=1.0)
    torch.testing.assert_close(kl, latents.kl(logq, logp).mean().detach())
    torch.testing.assert_close(loss, plain)
    got = torch.autograd.grad(loss, [post, prior], retain_graph=True)
    want = torch.autograd.grad(plain, [post, prior])
    torch.testing.assert_close(got[0], 0.15 * want[0])
    torch.testing.assert_close(got[1], 0.85 * want[1])
    assert [each.item() for each in balanced_kl(logq, logq, 0.85, 1.0)] == [1.0, 0.0]


def test_samples_are_one_hot_and_follow_the_probabilities() -> None:
    torch.manual_seed(0)
    logp = latents.log_probs(torch.tensor([0.0, 1.0, 3.0]).expand(20_000, 1, 3))
    drawn = latents.sample(logp)
    assert torch.equal(drawn.sum(-1), torch.ones(20_000, 1))
    torch.testing.assert_close(drawn.mean((0, 1)), logp[0, 0].exp(), atol=0.01, rtol=0)


def test_sample_passes_the_gradient_of_the_probabilities() -> None:
    logits = torch.randn(2, 3, 4, requires_grad=True)
    weight = torch.randn(2, 3, 4)
    (latents.sample(latents.log_probs(logits)) * weight).sum().backward()
    other = logits.detach().clone().requires_grad_()
    (latents.log_probs(other).exp() * weight).sum().backward()
    torch.testing.assert_close(logits.grad, other.grad)


def test_connector_learns_from_latents_that_it_cannot_change() -> None:
    torch.manual_seed(0)
    model = MFWM(TINY)
    batch = {
        'logits': torch.randn(2, 16, 4, 5),
        'embed': nn.functional.normalize(torch.randn(2, 16, 32), dim=-1),
    }
    loss, _ = connect_loss(model, batch, ConnectConfig())
    loss.backward()
    assert all(p.grad is None for p in model.tokenizer.parameters())
    assert all(p.grad is not None for p in model.connector.parameters())
    assert all(p.grad is not None for p in model.aligner.parameters())


def test_chunks_see_the_embedding_of_their_own_last_frame() -> None:
    """Changing an embedding inside a chunk, but not at its end, changes nothing."""
    model = MFWM(TINY)
    batch = {
        'logits': torch.randn(1, 16, 4, 5),
        'embed': nn.functional.normalize(torch.randn(1, 16, 32), dim=-1),
    }

    def loss(embed: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(1)
        return connect_loss(model, batch | {'embed': embed}, ConnectConfig())[0].detach()

    inside, end = batch['embed'].clone(), batch['embed'].clone()
    inside[:, 3] = 0
    end[:, 15] = 0
    assert loss(inside) == loss(batch['embed'])
    assert loss(end) != loss(batch['embed'])


def test_a_few_updates_lower_the_loss() -> None:
    torch.manual_seed(0)
    model = MFWM(TINY)
    batch = {
        'image': torch.randint(256, (2, 8, 3, 64, 64), dtype=torch.uint8),
        'action': torch.randn(2, 8, 3),
        'is_first': torch.zeros(2, 8),
    }
    adam = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(30):
        loss, _ = world_model_loss(model, batch, WorldModelConfig())
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_aligner_gives_unit_vectors() -> None:
    out = Aligner(32)(torch.randn(4, 3, 32))
    torch.testing.assert_close(out.norm(dim=-1), torch.ones(4, 3))


def test_generated_trajectories_share_their_start_only_by_the_seed() -> None:
    torch.manual_seed(0)
    model = MFWM(TINY)
    embedding = nn.functional.normalize(torch.randn(32), dim=0).expand(1, 6, -1)
    torch.manual_seed(5)
    first = model.connector.generate(embedding, mode=True)
    torch.manual_seed(5)
    assert torch.equal(first, model.connector.generate(embedding, mode=True))
    assert first.shape == (1, 6, 4, 5)


def test_config_says_which_size_is_wrong() -> None:
    with pytest.raises(ValueError, match='model.classes must fit a byte'):
        ModelConfig(action_dim=3, classes=300)
    with pytest.raises(ValueError, match='no preset'):
        model_preset('huge', 3)


def test_the_prior_of_a_prompt_is_the_prior_at_its_embedding() -> None:
    torch.manual_seed(0)
    model = MFWM(TINY)
    feat, embedding = torch.randn(5, TINY.feat), nn.functional.normalize(torch.randn(32), dim=0)
    actor = model.prior.for_prompt(embedding)
    for got, want in zip(actor(feat), model.prior(feat, embedding.expand(5, -1)), strict=True):
        torch.testing.assert_close(got, want)


def test_the_prior_learns_which_actions_lead_to_which_clip() -> None:
    """Two clips, each led to by one action: the prior tells them apart by the embedding."""
    torch.manual_seed(0)
    model = MFWM(TINY)
    model.aligner = nn.Identity()  # in place of an untrained one
    embed = torch.zeros(2, 16, 32)
    embed[0, :, 0] = embed[1, :, 1] = 1
    action = torch.full((2, 16, 3), 0.8)
    action[1] = -0.8
    batch = {
        'logits': torch.zeros(2, 16, 4, 5),
        'deter': torch.zeros(2, 16, TINY.deter),
        'action': action,
        'embed': embed,
    }
    adam = torch.optim.Adam(model.prior.parameters(), 3e-3)
    for _ in range(60):
        loss, _ = prior_loss(model, batch, PriorConfig())
        adam.zero_grad()
        loss.backward()
        adam.step()
    feat = torch.zeros(1, TINY.feat)
    assert model.prior(feat, embed[:1, 0])[0].min() > 0.3
    assert model.prior(feat, embed[1:, 0])[0].max() < -0.3


def test_portions_of_a_batch_are_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    tokenizer = MFWM(replace(TINY, tokenizer='conv')).tokenizer
    canvas = tokenizer.canvas(torch.randint(256, (7, 3, 64, 64), dtype=torch.uint8))
    stoch = torch.randn(7, 4, 5).softmax(-1)

    def results() -> list[torch.Tensor]:
        tokenizer.zero_grad()
        logits = tokenizer.posterior_logits(canvas)
        loss = tokenizer.reconstruction_loss(stoch, canvas)
        (loss / 1e3 + logits.square().sum()).backward()
        return [logits.detach(), loss.detach(), *(p.grad.clone() for p in tokenizer.parameters())]

    whole = results()
    monkeypatch.setattr('genrl_ros.world_model.fast.portions.PORTION', 3)
    for got, want in zip(results(), whole, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
