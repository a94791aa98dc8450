"""Sequence model, connector and their parts, for one sample at a time (facts 1.2, 1.3, 2.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrl_ros.world_model.connector import Connector
from genrl_ros.world_model.sequence import SequenceModel


def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
    mean = x.sum() / len(x)
    variance = ((x - mean) ** 2).sum() / len(x)
    return (x - mean) / torch.sqrt(variance + layer.eps) * layer.weight + layer.bias


def dense(x: Tensor, layers: nn.Sequential) -> Tensor:
    y = norm(layers[0].weight @ x + layers[0].bias, layers[1])
    return y / (1 + torch.exp(-y))


def mlp(x: Tensor, layers: nn.Sequential) -> Tensor:
    for layer in list(layers)[:-1]:
        x = dense(x, layer)
    return layers[-1].weight @ x + layers[-1].bias


def next_deter(model: SequenceModel, stoch: Tensor, inputs: Tensor, deter: Tensor) -> Tensor:
    """h_t of s_{t-1} `(S, K)`, the input `(U,)` and h_{t-1} `(H,)`."""
    x = dense(torch.cat([stoch.flatten(), inputs]), model.embed)
    cell = model.cell
    weight = torch.cat([cell.from_input.weight, cell.from_deter.weight], 1)
    gates = norm(weight @ torch.cat([x, deter]), cell.norm)
    size = len(deter)
    reset = torch.sigmoid(gates[:size])
    candidate = torch.tanh(reset * gates[size : 2 * size])
    update = torch.sigmoid(gates[2 * size :] - 1)
    return update * candidate + (1 - update) * deter


def probabilities(model: SequenceModel, deter: Tensor) -> Tensor:
    """p(s | h) `(S, K)`, with one hundredth of it uniform."""
    logits = mlp(deter, model.head).view(model.stoch, model.classes)
    rows = []
    for row in logits:
        odds = torch.exp(row - row.max().detach())
        rows.append(0.99 * odds / odds.sum() + 0.01 / model.classes)
    return torch.stack(rows)


def states(
    model: SequenceModel, stoch: Tensor, action: Tensor, is_first: Tensor
) -> list[list[Tensor]]:
    """h of each frame of each sequence, given all latents `(B, T, S, K)`."""
    out = []
    for latents, actions, firsts in zip(stoch, action, is_first, strict=True):
        before = torch.zeros_like(latents[0])
        deter = latents.new_zeros(model.deter)
        row = []
        for latent, act, first in zip(latents, actions, firsts, strict=True):
            if first:
                before, deter, act = torch.zeros_like(before), torch.zeros_like(deter), 0 * act
            deter = next_deter(model, before, act, deter)
            row.append(deter)
            before = latent
        out.append(row)
    return out


def one_hot(probs: Tensor) -> Tensor:
    """The likeliest classes of `(S, K)`, with the gradient of the probabilities."""
    hard = torch.zeros_like(probs)
    for row, values in enumerate(probs):
        hard[row, int(values.argmax())] = 1
    return hard + (probs - probs.detach())


def connector_input(connector: Connector, embedding: Tensor) -> Tensor:
    scaled = embedding * len(embedding) ** 0.5
    return torch.cat([scaled, scaled.new_zeros(connector.zeros)])


def teacher_forced(connector: Connector, stoch: Tensor, embedding: Tensor) -> Tensor:
    """Log-probabilities of latents `(B, T, S, K)`, each frame with the embedding of its chunk."""
    out = []
    for latents, chunks in zip(stoch, embedding, strict=True):
        deter = mlp(connector_input(connector, chunks[0]), connector.start)
        before = one_hot(probabilities(connector.sequence, deter))
        row = []
        for t, latent in enumerate(latents):
            inputs = connector_input(connector, chunks[t // 8])
            deter = next_deter(connector.sequence, before, inputs, deter)
            row.append(probabilities(connector.sequence, deter).log())
            before = latent
        out.append(torch.stack(row))
    return torch.stack(out)


def generate(connector: Connector, embedding: Tensor) -> list[Tensor]:
    """Latents of one sequence of embeddings `(T, D)`, each the likeliest."""
    deter = mlp(connector_input(connector, embedding[0]), connector.start)
    latent = one_hot(probabilities(connector.sequence, deter))
    out = []
    for e in embedding:
        deter = next_deter(connector.sequence, latent, connector_input(connector, e), deter)
        latent = one_hot(probabilities(connector.sequence, deter))
        out.append(latent)
    return out
