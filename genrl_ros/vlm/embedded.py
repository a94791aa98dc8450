"""The embedded video-text embedder: a small video tower beside a frozen sentence model.

Eight frames are seven transitions. A convolutional network turns each transition (a frame, and
how it differs from the one before) into a token; two layers read seven tokens in their order. A
token depends on two frames alone, so windows that overlap share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrl_ros.system.arrays import FloatArray, Image
from genrl_ros.system.files import read_json
from genrl_ros.vlm.grounding import ConceptBank
from genrl_ros.vlm.reader import Objection, Reading, read_reader
from genrl_ros.vlm.sentence import FILES, SENTENCE_DIM, SentenceModel
from genrl_ros.vlm.weights import identity_of, read_weights

FORMAT_VERSION = 1
MAX_META_BYTES = 4 * 2**20
N_FRAMES = 8
IMAGE_SIZE = 64
PATCH = 4
"""Side of the patches that the network starts from; they keep every pixel."""
CHANGE_GAIN = 8.0
SHARPNESS = 3.0
"""How decidedly a sentence goes to its concept; 1 would be the classifier's own probabilities."""
FRAMES_PER_PASS = 512
"""Frames whose activations are held at once, which bounds memory."""


@dataclass(frozen=True)
class TowerConfig:
    """Sizes of the trained part of the embedder."""

    channels: int = 48
    """Channels of a patch; doubled once."""
    squeeze: int = 32
    """Channels of the last feature map, whose 8x8 places are kept apart."""
    width: int = 192
    """Size of a transition's token."""
    hidden: int = 512
    """Width of the layer that reads the seven tokens of a clip."""
    concepts: int = 37
    """Concepts that sentences are placed among."""
    dim: int = 512
    """Size of the shared space."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value <= 0:
                raise ValueError(f'embedder {name} must be positive, not {value}')


def _conv(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Residual(nn.Module):
    """A convolution beside its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, C, H, W)` -> the same shape."""
        out: Tensor = x + self.conv(x)
        return out


class VideoTower(nn.Module):
    """Windows of eight frames to unit vectors."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        c = config.channels
        self.frames = nn.Sequential(
            nn.PixelUnshuffle(PATCH),
            nn.Conv2d(6 * PATCH**2, c, 1),
            nn.BatchNorm2d(c),
            nn.ReLU(),
            Residual(c),
            _conv(c, 2 * c, 2),
            Residual(2 * c),
            nn.Conv2d(2 * c, config.squeeze, 1),
            nn.Flatten(),
            nn.Linear(config.squeeze * (IMAGE_SIZE // 8) ** 2, config.width),
        )
        self.time = nn.Sequential(
            nn.LayerNorm((N_FRAMES - 1) * config.width),
            nn.Linear((N_FRAMES - 1) * config.width, config.hidden),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(config.hidden, config.dim),
        )

    def tokens(self, frames: Tensor) -> Tensor:
        """`(B, T, 3, 64, 64)` float in [0, 1] -> one token a transition `(B, T-1, W)`."""
        change = (frames[:, 1:] - frames[:, :-1]) * CHANGE_GAIN
        pairs = torch.cat([frames[:, 1:] - 0.5, change], 2)
        out: Tensor = self.frames(pairs.flatten(0, 1))
        return out.unflatten(0, pairs.shape[:2])

    def windows(self, tokens: Tensor) -> Tensor:
        """`(B, T-1, W)` tokens -> every window of eight frames, `(B, T-7, D)` of unit length."""
        unfolded = tokens.unfold(1, N_FRAMES - 1, 1).transpose(2, 3)
        return F.normalize(self.time(unfolded.flatten(2)), dim=-1)

    def forward(self, frames: Tensor) -> Tensor:
        """`(B, T, 3, 64, 64)` float in [0, 1] -> `(B, T-7, D)` of unit length."""
        return self.windows(self.tokens(frames))


class TextHead(nn.Module):
    """Frozen sentence features to a blend of the places where the videos of each concept lie.

    One more place, far from all videos, is for sentences about something else. So a sentence
    lands among the videos that it speaks of, or away from all.
    """

    anchors: Tensor

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.choose = nn.Linear(SENTENCE_DIM, config.concepts + 1)
        self.register_buffer('anchors', torch.zeros(config.concepts + 1, config.dim))

    def forward(self, features: Tensor) -> Tensor:
        """`(N, 384)` unit sentence features -> `(N, D)` of unit length."""
        share = (SHARPNESS * self.choose(features)).softmax(-1)
        return F.normalize(share @ self.anchors, dim=-1)


class Towers(nn.Module):
    """What is trained: the video tower and a head on frozen sentence features."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.video = VideoTower(config)
        self.text = TextHead(config)


def embedder_identity(weights: Mapping[str, Tensor]) -> str:
    """sha256 over the trained weights and the sentence model that they go with."""
    return identity_of(weights, f'embedded/{FORMAT_VERSION}/{FILES["model.safetensors"]}')


def read_embedder(folder: Path) -> tuple[TowerConfig, dict[str, Tensor], ConceptBank, str]:
    """Read a shipped embedder: its sizes, weights, concepts and identity.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the files are damaged, foreign or of another version.
    """
    meta_path, tensor_path = folder / 'embedder.json', folder / 'embedder.safetensors'
    for path in (meta_path, tensor_path):
        if not path.is_file():
            raise FileNotFoundError(
                f'there is no embedder at {path}: train one with `genrl train-embedder kitchen`'
            )
    try:
        meta = read_json(meta_path, MAX_META_BYTES)
        version = meta['format_version']
        config = TowerConfig(**meta['tower'])
        names, words = tuple(meta['concepts']), tuple(meta['concepts'].values())
        least = float(meta['grounding']['least_score']), float(meta['grounding']['least_margin'])
        expected = str(meta['identity'])
        domains = {name: frozenset(each) for name, each in meta.get('domains', {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{meta_path} is not the description of an embedder: {error}') from error
    if version != FORMAT_VERSION:
        raise ValueError(
            f'{meta_path} has format version {version}, this program reads {FORMAT_VERSION}'
        )
    tensors = read_weights(tensor_path)
    anchors = tensors.get('text.anchors')
    if anchors is None or tuple(anchors.shape) != (len(names) + 1, config.dim):
        raise ValueError(
            f'{tensor_path} lacks the {len(names)} concepts that {meta_path.name} names'
        )
    identity = embedder_identity(tensors)
    if identity != expected:
        raise ValueError(
            f'{tensor_path} has identity {identity[:12]} but {meta_path.name} says '
            f'{expected[:12]}: one of the two files was changed'
        )
    bank = ConceptBank(names, words, anchors[:-1].numpy(), *least, domains)
    return config, tensors, bank, identity


class EmbeddedEmbedder:
    """The shipped `VideoTextEmbedder`; see `genrl_ros.vlm.base`.

    Args:
        folder: holds `embedder.safetensors` and `embedder.json`.
        name: what it is asked for by.

    Raises:
        FileNotFoundError: if a file, or the sentence model's package, is missing.
        ValueError: if the files are damaged or do not belong together.
    """

    n_frames = N_FRAMES

    def __init__(self, folder: Path, name: str = 'embedded') -> None:
        self.name = name
        config, weights, self.bank, self.identity = read_embedder(folder)
        self.dim = config.dim
        self._towers = Towers(config).eval()
        try:
            self._towers.load_state_dict(weights, strict=True)
        except RuntimeError as error:
            raise ValueError(
                f'{folder / "embedder.safetensors"} does not fit its description: {error}'
            ) from error
        self._towers.requires_grad_(False)
        self._reader = read_reader(folder, self.bank.names)
        self._sentences: SentenceModel | None = None

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """`(N, D)` float32 of unit length for N sentences."""
        features = torch.from_numpy(self._sentence_model().embed(texts))
        out: FloatArray = self._towers.text(features).numpy()
        return out

    def read(self, sentence: str, possible: frozenset[Objection]) -> Reading | None:
        """What the reader makes of a sentence; None if the embedder was made without one.

        Args:
            sentence: to read.
            possible: the objections that its words allow.
        """
        if self._reader is None:
            return None
        (tokens,) = self._sentence_model().tokens([sentence])
        return self._reader.read(tokens, possible)

    def _sentence_model(self) -> SentenceModel:
        if self._sentences is None:
            self._sentences = SentenceModel()
        return self._sentences

    @torch.inference_mode()
    def embed_video(self, clips: Image) -> FloatArray:
        """`(N, D)` float32 of unit length for clips `(N, 8, 3, 64, 64)` uint8.

        Raises:
            ValueError: if the clips have another shape or type.
        """
        expected = (N_FRAMES, 3, IMAGE_SIZE, IMAGE_SIZE)
        if clips.ndim != 5 or clips.shape[1:] != expected or clips.dtype != np.uint8:
            raise ValueError(
                f'clips must be (N, {", ".join(map(str, expected))}) uint8, '
                f'not {clips.shape} {clips.dtype}'
            )
        per_pass = FRAMES_PER_PASS // N_FRAMES
        parts = [
            self._towers.video(_to_float(clips[i : i + per_pass]))[:, 0].numpy()
            for i in range(0, len(clips), per_pass)
        ]
        return np.concatenate([np.zeros((0, self.dim), np.float32), *parts])

    @torch.inference_mode()
    def embed_windows(self, frames: Image) -> FloatArray:
        """Embed every window of one episode, each transition only once.

        Args:
            frames: `(T, 3, 64, 64)` uint8, consecutive.

        Returns:
            `(T, D)` float32: index t is the embedding of frames t-7..t, zeros for t < 7.

        Raises:
            ValueError: if the frames have another shape or type.
        """
        expected = (3, IMAGE_SIZE, IMAGE_SIZE)
        if frames.ndim != 4 or frames.shape[1:] != expected or frames.dtype != np.uint8:
            raise ValueError(
                f'frames must be (T, 3, {IMAGE_SIZE}, {IMAGE_SIZE}) uint8, '
                f'not {frames.shape} {frames.dtype}'
            )
        out = np.zeros((len(frames), self.dim), np.float32)
        if len(frames) < N_FRAMES:
            return out
        video = self._towers.video
        tokens = torch.cat(
            [
                video.tokens(_to_float(frames[None, i : i + FRAMES_PER_PASS + 1]))
                for i in range(0, len(frames) - 1, FRAMES_PER_PASS)
            ],
            1,
        )
        out[N_FRAMES - 1 :] = video.windows(tokens)[0].numpy()
        return out


def _to_float(images: Image) -> Tensor:
    return torch.from_numpy(np.array(images, order='C')).to(torch.float32) / 255
