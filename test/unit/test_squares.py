"""Convolutions on squares of pixels, and gradients taken in portions, are the published layers."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genrl_ros.world_model.conv import ConvDecoder, ConvEncoder
from genrl_ros.world_model.fast import portions
from genrl_ros.world_model.images import joined, patches, pixels

EXACT = {'rtol': 1e-10, 'atol': 1e-10}


@pytest.fixture
def image(monkeypatch: pytest.MonkeyPatch) -> Tensor:
    monkeypatch.setattr(portions, 'PORTION', 3)
    torch.manual_seed(0)
    return torch.randint(256, (7, 3, 64, 64), dtype=torch.uint8)


def same_gradients(fast: Tensor, slow: Tensor, of: Iterable[Tensor]) -> None:
    of = list(of)
    torch.testing.assert_close(fast, slow, **EXACT)
    for got, want in zip(*(torch.autograd.grad(x, of) for x in (fast, slow)), strict=True):
        torch.testing.assert_close(got, want, **EXACT)


@pytest.mark.parametrize('side', [4, 8])
def test_squares_are_joined_to_the_image(image: Tensor, side: int) -> None:
    cut = patches(image, side)
    assert torch.equal(cut[2, 1, 0], image[2, :, side : 2 * side, :side].flatten())
    assert torch.equal(joined(cut, side), image)


def test_encoder(image: Tensor) -> None:
    encoder = ConvEncoder(3).double()
    out = encoder(patches(image, 4))
    published = encoder.layers(pixels(image).double()).flatten(1)
    noise = torch.randn_like(out)
    torch.testing.assert_close(out, published, **EXACT)
    same_gradients((out * noise).sum(), (published * noise).sum(), encoder.parameters())


def test_decoder(image: Tensor) -> None:
    decoder = ConvDecoder(20, 3).double()
    features = torch.randn(7, 96, dtype=torch.float64, requires_grad=True)
    first = decoder.spread.weight.t().reshape(96, -1, 5, 5)
    maps = F.conv_transpose2d(features.view(7, 96, 1, 1), first, decoder.spread_bias)
    difference = decoder.layers(maps) - pixels(image).double()
    used = [p for name, p in decoder.named_parameters() if not name.startswith('project')]
    loss = decoder.squared_error(features, patches(image, 4))
    same_gradients(3 * loss, 3 * difference.square().sum(), [features, *used])


def test_an_error_can_be_computed_where_nothing_learns(image: Tensor) -> None:
    decoder, features = ConvDecoder(20, 3), torch.randn(7, 96)
    learning = decoder.squared_error(features, patches(image, 4))
    with torch.no_grad():
        torch.testing.assert_close(decoder.squared_error(features, patches(image, 4)), learning)
    decoder.requires_grad_(False)
    frozen = decoder.squared_error(features, patches(image, 4))
    assert not frozen.requires_grad
    torch.testing.assert_close(frozen, learning)


def test_norm_and_activation_in_bf16_are_those_of_float32() -> None:
    torch.manual_seed(0)
    encoder = ConvEncoder(6)
    image = torch.randint(256, (2, 16, 16, 48), dtype=torch.uint8)
    exact = encoder(image)
    with torch.autocast('cpu', torch.bfloat16):
        rounded = encoder(image)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, rtol=0.05, atol=0.05)
