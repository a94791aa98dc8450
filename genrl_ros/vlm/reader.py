"""A second reader of prompts, which sees every word and says what is not to be acted on.

The head of the embedder places the mean of a sentence's tokens among the concepts, wherever one
odd word pulls it. The reader looks at each token in its context: one word about something else
suffices. It gives no embedding, so it can be made anew without touching a world model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrl_ros.system.arrays import FloatArray
from genrl_ros.system.files import read_json
from genrl_ros.vlm.sentence import FILES, SENTENCE_DIM
from genrl_ros.vlm.weights import identity_of, read_weights

FORMAT_VERSION = 1
WEIGHTS, DESCRIPTION = 'reader.safetensors', 'reader.json'

Objection = Literal['unclear', 'negated', 'several', 'unrelated']
OBJECTIONS: tuple[Objection, ...] = get_args(Objection)
"""Why a sentence is no request: it does not say what to do, says what not to do, asks for several
things, or is about something else."""


@dataclass(frozen=True)
class ReaderConfig:
    """Sizes of the reader."""

    concepts: int
    """Concepts that requests are about."""
    features: int = 96
    """What is looked for in each token."""
    members: int = 3
    """Networks that differ by the luck of training; their mean decides."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value <= 0:
                raise ValueError(f'reader {name} must be positive, not {value}')


class _Member(nn.Module):
    """One network that reads."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.look = nn.Linear(SENTENCE_DIM, config.features)
        inputs = 2 * config.features + SENTENCE_DIM
        self.judge = nn.Linear(inputs, config.concepts + len(OBJECTIONS))
        self.noise, self.dropout = nn.Dropout(0.1), nn.Dropout(0.3)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        there, count = mask[..., None].to(tokens.dtype), mask.sum(1, keepdim=True)
        found = F.relu(self.look(self.noise(tokens))) * there
        mean = F.normalize((tokens * there).sum(1), dim=-1)
        seen = torch.cat([found.amax(1), found.sum(1) / count, 5 * mean], -1)
        out: Tensor = self.judge(self.dropout(seen))
        return out


class ReaderNetwork(nn.Module):
    """Tokens of a sentence to a score for each concept and each objection."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(_Member(config) for _ in range(config.members))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """`(N, T, 384)` tokens, `(N, T)` bool which are there -> `(M, N, C + 4)` logits."""
        return torch.stack([member(tokens, mask) for member in self.members])


@dataclass(frozen=True)
class Reading:
    """How a sentence was read.

    Attributes:
        concept: index of the likeliest concept.
        objection: the likeliest reason why it is none; None if it is one.
    """

    concept: int
    objection: Objection | None


@dataclass(frozen=True)
class Reader:
    """A finished reader.

    Attributes:
        network: in evaluation mode.
        concepts: their names, in the order of `Reading.concept`.
        least_request: a sentence that is less likely a request is not acted on.
    """

    network: ReaderNetwork
    concepts: tuple[str, ...]
    least_request: float

    @torch.inference_mode()
    def read(self, tokens: FloatArray, possible: frozenset[Objection]) -> Reading:
        """Read a sentence.

        Args:
            tokens: `(T, 384)` of the sentence.
            possible: the objections that its words allow.
        """
        count = len(self.concepts)
        logits = self.network(*pad([tokens]))[:, 0]
        for i, objection in enumerate(OBJECTIONS):
            if objection not in possible:
                logits[:, count + i] = -torch.inf
        odds = logits.softmax(-1).mean(0).numpy()
        request = float(odds[:count].sum())
        objection = OBJECTIONS[int(odds[count:].argmax())]
        return Reading(
            concept=int(odds[:count].argmax()),
            objection=None if request >= self.least_request else objection,
        )


def pad(sentences: Sequence[FloatArray]) -> tuple[Tensor, Tensor]:
    """Sentences of different length as one `(N, T, 384)`, and which tokens are there `(N, T)`."""
    tensors = [torch.from_numpy(tokens) for tokens in sentences]
    tokens = nn.utils.rnn.pad_sequence(tensors, batch_first=True).float()
    lengths = torch.tensor([len(each) for each in tensors])
    return tokens, torch.arange(tokens.shape[1]) < lengths[:, None]


def reader_identity(weights: Mapping[str, Tensor]) -> str:
    """sha256 over a reader's weights, and over the sentence model that they go with."""
    return identity_of(weights, f'reader/{FORMAT_VERSION}/{FILES["model.safetensors"]}')


def read_reader(folder: Path, concepts: Sequence[str]) -> Reader | None:
    """The reader that lies beside an embedder; None if there is none.

    Args:
        folder: of the embedder.
        concepts: names of the concepts that the embedder knows.

    Raises:
        FileNotFoundError: if one of its two files is missing.
        ValueError: if the files are damaged, of another version or other concepts.
    """
    description, weights = folder / DESCRIPTION, folder / WEIGHTS
    if not description.exists() and not weights.exists():
        return None
    for path in (description, weights):
        if not path.is_file():
            raise FileNotFoundError(
                f'{path} is missing: make it with `genrl train-embedder --reader-of`'
            )
    try:
        meta = read_json(description)
        version, names = meta['format_version'], tuple(meta['concepts'])
        sizes = ReaderConfig(**meta['network'])
        least = float(meta['least_request'])
        expected, sentence_model = str(meta['identity']), str(meta['sentence_model'])
        if not 0.0 < least < 1.0:
            raise ValueError(f'least_request is {least}, and must be between 0 and 1')
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{description} is not the description of a reader: {error}') from error
    if version != FORMAT_VERSION:
        raise ValueError(
            f'{description} has format version {version}, this program reads {FORMAT_VERSION}'
        )
    if (
        names != tuple(concepts)
        or sizes.concepts != len(names)
        or sentence_model != FILES['model.safetensors']
    ):
        raise ValueError(
            f'{description} is of another embedder: make it anew with '
            '`genrl train-embedder --reader-of`'
        )
    tensors = read_weights(weights)
    network = ReaderNetwork(sizes).eval()
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if (
        reader_identity(tensors) != expected
        or {name: tensor.shape for name, tensor in tensors.items()} != shapes
    ):
        raise ValueError(
            f'{weights} is not what {description.name} describes: one of the two was changed'
        )
    network.load_state_dict(tensors, strict=True)
    return Reader(network.requires_grad_(False), names, least)
