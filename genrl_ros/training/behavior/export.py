"""ONNX graphs of what a robot runs: encoder, sequence step and actor."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from genrl_ros.behavior.goal import last_features
from genrl_ros.domains.base import RobotSpec
from genrl_ros.serving.policy.bundle import ACTOR, ENCODER, GOAL, STEP
from genrl_ros.serving.policy.operators import check_graph
from genrl_ros.system.arrays import FloatArray
from genrl_ros.system.files import atomic_file, open_regular
from genrl_ros.world_model.actor import Actor
from genrl_ros.world_model.checkpoint import CheckpointError, load_mfwm, save_mfwm
from genrl_ros.world_model.mfwm import MFWM


def _one_hot(tokens: Tensor, classes: int) -> Tensor:
    """Flat one-hot `(B, S * K)`; a token of -1, the one before an episode, is all zeros."""
    hot = tokens.unsqueeze(-1) == torch.arange(classes)
    return hot.float().flatten(1)


class EncoderGraph(nn.Module):
    """Image `(1, 3, 64, 64)` uint8 to logits `(1, S, K)`."""

    def __init__(self, model: MFWM) -> None:
        super().__init__()
        self.tokenizer = model.tokenizer

    def forward(self, image: Tensor) -> Tensor:
        """Posterior logits."""
        return self.tokenizer.encode(image)


class StepGraph(nn.Module):
    """Previous tokens, action and state to the next state."""

    def __init__(self, model: MFWM) -> None:
        super().__init__()
        self.sequence = model.sequence

    def forward(self, tokens: Tensor, action: Tensor, deter: Tensor) -> Tensor:
        """`(1, H)` next deter."""
        stoch = _one_hot(tokens, self.sequence.classes)
        embedded = self.sequence.embed(torch.cat([stoch, action], -1))
        out: Tensor = self.sequence.cell(embedded, deter)
        return out


class ActorGraph(nn.Module):
    """Tokens and state to the mean action."""

    def __init__(self, actor: Actor, classes: int) -> None:
        super().__init__()
        self.actor, self.classes = actor, classes

    def forward(self, tokens: Tensor, deter: Tensor) -> Tensor:
        """`(1, A)` in [-1, 1]."""
        mean, _ = self.actor(torch.cat([_one_hot(tokens, self.classes), deter], -1))
        return mean


class GoalGraph(nn.Module):
    """Tokens to how well they match the goal's last states, as imagined states are rewarded."""

    target: Tensor
    length: Tensor
    ones: Tensor
    share: Tensor

    def __init__(self, model: MFWM, target: Tensor) -> None:
        """Keep the features `(N, E)` of these states."""
        super().__init__()
        self.tokenizer, self.classes = model.tokenizer, model.config.classes
        self.register_buffer('target', target.t().contiguous())
        self.register_buffer('length', target.square().sum(-1)[None])
        self.register_buffer('ones', torch.ones(target.shape[1], 1))
        self.register_buffer('share', torch.full((len(target), 1), 1 / len(target)))

    def forward(self, tokens: Tensor) -> Tensor:
        """Mean score `(1, 1)`, see `behavior.rewards.sequence.Matcher`."""
        hot = (tokens.unsqueeze(-1) == torch.arange(self.classes)).float()
        features = self.tokenizer.project(hot)
        length = (features * features) @ self.ones
        longest = torch.where(length < self.length, self.length, length)
        out: Tensor = ((features @ self.target) / longest) @ self.share
        return out


def write_model(
    folder: Path,
    model: MFWM,
    spec: RobotSpec,
    embedder: str,
    embedder_identity: str,
    training: Mapping[str, Any],
) -> None:
    """Write a world model with its encoder, both of the same rounded weights."""
    save_mfwm(folder, model, spec, embedder, embedder_identity, training)
    stored, _ = load_mfwm(folder)
    image = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    graph = halved(_export(EncoderGraph(stored), {'image': image}, 'logits'))
    with atomic_file(folder / ENCODER) as temporary:
        temporary.write_bytes(graph)


def halved(graph: bytes) -> bytes:
    """The same ONNX graph in half the space, if its weights are those of a stored model.

    Weights that float16 holds exactly are kept so, each with a cast that ONNX Runtime does once,
    when it loads the graph.
    """
    model = onnx.ModelProto.FromString(graph)
    kept, casts = [], []
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        half = weights.astype(np.float16)
        if weights.dtype == np.float32 and np.array_equal(half.astype(np.float32), weights):
            name = f'{tensor.name}.half'
            casts.append(helper.make_node('Cast', [name], [tensor.name], to=TensorProto.FLOAT))
            tensor = numpy_helper.from_array(half, name)
        kept.append(tensor)
    nodes = [*casts, *model.graph.node]
    for field, values in ((model.graph.initializer, kept), (model.graph.node, nodes)):
        del field[:]
        field.extend(values)
    return bytes(model.SerializeToString())


def export_policy(
    folder: Path, model: MFWM, actor: Actor, goal: FloatArray | None = None
) -> dict[str, bytes]:
    """The graphs of a policy bundle, by file name.

    Args:
        folder: of the world model.
        model: the world model.
        actor: the policy.
        goal: `(D,)` embedding of what the policy may stop at; None if it stops at nothing.

    The encoder is the world model's own file, so that a robot may run either of the two.

    Raises:
        CheckpointError: if the world model's folder has no encoder.
    """
    try:
        with open_regular(folder / ENCODER) as file:
            encoder = file.read()
    except OSError as error:
        raise CheckpointError(f'{folder / ENCODER} cannot be read: {error.strerror}') from error
    sizes = model.config
    tokens = torch.zeros(1, sizes.stoch, dtype=torch.long)
    deter = torch.zeros(1, sizes.deter)
    action = torch.zeros(1, sizes.action_dim)
    graphs = {
        ENCODER: encoder,
        STEP: _export(
            StepGraph(model), {'tokens': tokens, 'action': action, 'deter': deter}, 'deter_next'
        ),
        ACTOR: _export(
            ActorGraph(actor, sizes.classes), {'tokens': tokens, 'deter': deter}, 'action'
        ),
    }
    if goal is not None:
        reached = GoalGraph(model, last_features(model, goal))
        graphs[GOAL] = _export(reached, {'tokens': tokens}, 'match')
    return graphs


def _export(graph: nn.Module, inputs: dict[str, Tensor], output: str) -> bytes:
    buffer = io.BytesIO()
    arguments: tuple[Any, ...] = tuple(inputs.values())
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            graph.eval(),
            arguments,
            buffer,  # type: ignore[arg-type]  # a file object serves as well
            input_names=list(inputs),
            output_names=[output],
            opset_version=18,
            dynamo=False,
        )
    exported = buffer.getvalue()
    check_graph(exported, f'the exported graph of {output}')
    return exported
