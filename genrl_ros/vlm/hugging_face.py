"""CLIP, SigLIP and X-CLIP from local Hugging Face folders, as `VideoTextEmbedder`s."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from genrl_ros.system.arrays import FloatArray, Image, digest
from genrl_ros.system.files import open_regular, read_json

CLIPS_PER_PASS = 8
WEIGHTS, INDEX = 'model.safetensors', 'model.safetensors.index.json'
PROCESSOR = 'preprocessor_config.json'
SMALL_FILES = ('.json', '.txt', '.model')
"""Endings of what describes a model and its tokenizer."""
LFS_POINTER = b'version https://git-lfs.github.com/spec/'


class HuggingFaceEmbedder:
    """A dual encoder: averaged frame features (CLIP, SigLIP) or clip features (X-CLIP).

    X-CLIP's text features are taken before they are conditioned on a video, since a prompt has to
    be embedded where there is no video yet.

    Args:
        kind: `clip`, `siglip` or `xclip`.
        folder: for the name alone.
        model: the transformers model, with its weights.
        tokenizer: its tokenizer.
        mean: of the pixels that it was trained with, by channel.
        std: their standard deviation.

    Raises:
        ValueError: if an X-CLIP model was made for another number of frames than eight.
    """

    n_frames = 8

    def __init__(
        self,
        kind: str,
        folder: Path,
        model: Any,
        tokenizer: Any,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        self.name = f'{kind}:{folder}'
        self._kind, self._model, self._tokenizer = kind, model.eval(), tokenizer
        self._mean = torch.tensor(mean).view(1, 3, 1, 1)
        self._std = torch.tensor(std).view(1, 3, 1, 1)
        self._size = int(model.config.vision_config.image_size)
        frames = getattr(model.config.vision_config, 'num_frames', self.n_frames)
        if frames != self.n_frames:
            raise ValueError(f'{folder} reads {frames} frames a clip, not {self.n_frames}')
        self.identity = _identity(kind, model)
        self.dim = int(self.embed_text(['a']).shape[1])

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """`(N, D)` float32 of unit length for N sentences."""
        longest = int(self._model.config.text_config.max_position_embeddings)
        tokens = self._tokenizer(
            list(texts),
            padding='max_length' if self._kind == 'siglip' else True,
            truncation=True,
            max_length=longest,
            return_tensors='pt',
        )
        given = {'input_ids': tokens['input_ids']}
        if self._kind != 'siglip':
            given['attention_mask'] = tokens['attention_mask']
        return _unit(self._model.get_text_features(**given).pooler_output)

    @torch.inference_mode()
    def embed_video(self, clips: Image) -> FloatArray:
        """`(N, D)` float32 of unit length for clips `(N, 8, 3, H, W)` uint8.

        Raises:
            ValueError: if the clips have another shape or type.
        """
        if clips.ndim != 5 or clips.shape[1:3] != (self.n_frames, 3) or clips.dtype != np.uint8:
            raise ValueError(
                f'clips must be (N, 8, 3, H, W) uint8, not {clips.shape} {clips.dtype}'
            )
        parts = []
        for i in range(0, len(clips), CLIPS_PER_PASS):
            batch = clips[i : i + CLIPS_PER_PASS]
            pixels = self._pixels(batch.reshape(-1, *batch.shape[2:]))
            if self._kind == 'xclip':
                video = pixels.unflatten(0, batch.shape[:2])
                parts.append(_unit(self._model.get_video_features(video).pooler_output))
            else:
                features = self._frames(pixels).unflatten(0, batch.shape[:2])
                parts.append(_unit(features.mean(1)))
        return np.concatenate(parts)

    @torch.inference_mode()
    def embed_windows(self, frames: Image) -> FloatArray:
        """Every window of an episode `(T, 3, H, W)` uint8; see `VideoTextEmbedder`.

        Raises:
            ValueError: if the frames have another shape or type.
        """
        if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype != np.uint8:
            raise ValueError(
                f'frames must be (T, 3, H, W) uint8, not {frames.shape} {frames.dtype}'
            )
        out = np.zeros((len(frames), self.dim), np.float32)
        if len(frames) < self.n_frames:
            return out
        if self._kind == 'xclip':
            starts = range(len(frames) - self.n_frames + 1)
            clips = np.stack([frames[s : s + self.n_frames] for s in starts])
            out[self.n_frames - 1 :] = self.embed_video(clips)
        else:
            step = CLIPS_PER_PASS * self.n_frames
            parts = [
                self._frames(self._pixels(frames[i : i + step]))
                for i in range(0, len(frames), step)
            ]
            windows = torch.cat(parts).unfold(0, self.n_frames, 1)
            out[self.n_frames - 1 :] = _unit(windows.mean(-1))
        return out

    def _frames(self, pixels: Tensor) -> Tensor:
        features: Tensor = self._model.get_image_features(pixel_values=pixels).pooler_output
        return F.normalize(features, dim=-1)

    def _pixels(self, images: Image) -> Tensor:
        pixels = torch.from_numpy(np.array(images, order='C')).float() / 255
        size = (self._size, self._size)
        scaled = F.interpolate(pixels, size, mode='bilinear', align_corners=False, antialias=True)
        return (scaled - self._mean) / self._std


def load_hugging_face(kind: str, folder: Path) -> HuggingFaceEmbedder:
    """Load an embedder from a folder of Hugging Face files, offline; safetensors weights only.

    Args:
        kind: `clip`, `siglip` or `xclip`.
        folder: has `config.json`, `model.safetensors` or the parts that
            `model.safetensors.index.json` names, and the files of tokenizer and processor.

    Raises:
        FileNotFoundError: if the folder lacks a file.
        OSError: if one of the files is no file, such as a FIFO.
        ValueError: if a file is torn or a Git LFS pointer, or the weights do not fit the model or
            are of another kind.
    """
    from transformers import (
        AutoConfig,
        AutoImageProcessor,
        AutoTokenizer,
        CLIPModel,
        SiglipModel,
        XCLIPModel,
    )

    classes = {'clip': CLIPModel, 'siglip': SiglipModel, 'xclip': XCLIPModel}
    check_files(folder)
    found = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
    if found != kind:
        raise ValueError(f'{folder} holds a model of kind {found!r}, not {kind!r}')
    model, report = classes[kind].from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # to name them below: none is used
        output_loading_info=True,
        dtype=torch.float32,
    )
    for name, found, asked in sorted(report['mismatched_keys']):
        raise ValueError(
            f'{folder} holds weights of another model than its config.json describes, such as one '
            f'for another image size: {name} is {tuple(found)}, not {tuple(asked)}'
        )
    missing = sorted(report['missing_keys'])
    if missing:
        raise ValueError(
            f'{folder} lacks {len(missing)} of the weights of {kind}, such as {missing[0]}: '
            'they would be random'
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever its many kinds of tokenizers make of these files
        why = str(error).partition('\n')[0][:200]
        raise ValueError(
            f'{folder} has no tokenizer or image processor that can be read; download its '
            f'tokenizer files and {PROCESSOR} again ({why})'
        ) from error
    try:
        return HuggingFaceEmbedder(
            kind, folder, model, tokenizer, processor.image_mean, processor.image_std
        )
    except IndexError:
        raise ValueError(
            f'{folder} holds the tokenizer of another model: it has words that the weights lack'
        ) from None


def check_files(folder: Path) -> None:
    """Check that the files of a model are there, whole, and not stand-ins of Git LFS.

    Raises:
        FileNotFoundError: if the folder lacks one.
        OSError: if one is no regular file.
        ValueError: naming the file that is torn, or a stand-in.
    """
    names = {'config.json', PROCESSOR, *_weight_files(folder)}
    for name in sorted(names):
        if not (folder / name).exists():
            raise FileNotFoundError(f'{folder} lacks {name}: download the whole model there')
    names |= {path.name for path in folder.iterdir() if path.suffix in SMALL_FILES}
    for path in sorted(folder / name for name in names):
        with open_regular(path) as file:
            if file.read(len(LFS_POINTER)) == LFS_POINTER:
                raise ValueError(
                    f'{path} only stands for a file that Git LFS keeps elsewhere: fetch it with '
                    '`git lfs pull`'
                )
        try:
            if path.suffix == '.safetensors':
                with safe_open(path, framework='pt'):
                    pass
            elif path.suffix == '.json':
                read_json(path)
        except (SafetensorError, ValueError) as error:
            raise ValueError(f'{path} is torn or damaged: download it again ({error})') from None


def _weight_files(folder: Path) -> list[str]:
    """Names of the files of the weights: one, or those that an index names."""
    if (folder / WEIGHTS).exists() or not (folder / INDEX).exists():
        return [WEIGHTS]
    try:
        names = sorted(set(read_json(folder / INDEX)['weight_map'].values()))
        if any(Path(name).name != name for name in names):
            raise ValueError(f'it names files elsewhere: {names}')
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{folder / INDEX} is no index of weights: {error}') from None
    return names


def _unit(features: Tensor) -> FloatArray:
    unit: FloatArray = F.normalize(features, dim=-1).numpy()
    return unit


def _identity(kind: str, model: Any) -> str:
    weights = sorted(model.state_dict().items())
    return digest(((name, tensor.cpu().numpy()) for name, tensor in weights), kind)
