"""The embedded embedder: shapes, shared windows, strict loading."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from genrl_ros.domains.kitchen.source import SOURCE
from genrl_ros.training.embedder.make import write
from genrl_ros.training.embedder.source import Concepts
from genrl_ros.vlm import load_embedder
from genrl_ros.vlm.base import VideoTextEmbedder
from genrl_ros.vlm.embedded import EmbeddedEmbedder, TowerConfig, Towers

CONCEPTS = Concepts({'kitchen': SOURCE})
SCORES = {'grounding': {'least_score': 0.4, 'least_margin': 0.02}}


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('embedder')
    torch.manual_seed(0)
    towers = Towers(TowerConfig()).eval()
    towers.text.anchors[:] = torch.eye(len(CONCEPTS.names) + 1, 512)
    write(path, towers, CONCEPTS, SCORES, {'seed': 0})
    return path


@pytest.fixture
def broken(folder, tmp_path) -> Path:
    """A copy of the embedder that a test may damage."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.fixture(scope='module')
def embedder(folder) -> EmbeddedEmbedder:
    return EmbeddedEmbedder(folder)


def frames(count, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 64, 64), dtype=np.uint8)


def test_follows_the_protocol(embedder) -> None:
    assert isinstance(embedder, VideoTextEmbedder)
    assert (embedder.dim, embedder.n_frames, embedder.name) == (512, 8, 'embedded')


def test_windows_equal_clips(embedder) -> None:
    episode = frames(20)
    clips = np.stack([episode[t - 7 : t + 1] for t in range(7, 20)])
    windows = embedder.embed_windows(episode)
    assert windows.shape == (20, 512) and windows.dtype == np.float32
    assert not windows[:7].any()
    np.testing.assert_allclose(windows[7:], embedder.embed_video(clips), atol=1e-5)


def test_windows_do_not_depend_on_how_an_episode_is_cut(embedder, monkeypatch) -> None:
    episode = frames(30)
    whole = embedder.embed_windows(episode)
    monkeypatch.setattr('genrl_ros.vlm.embedded.FRAMES_PER_PASS', 8)
    np.testing.assert_allclose(embedder.embed_windows(episode), whole, atol=1e-5)


def test_an_episode_shorter_than_a_clip_has_no_embedding(embedder) -> None:
    assert not embedder.embed_windows(frames(5)).any()


def test_videos_and_sentences_have_unit_length(embedder) -> None:
    video = embedder.embed_video(frames(16).reshape(2, 8, 3, 64, 64))
    text = embedder.embed_text(['open the microwave', 'turn on the lamp', ''])
    for vectors in (video, text):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert text.shape == (3, 512)
    assert embedder.embed_text([]).shape == (0, 512)


def test_a_sentence_does_not_depend_on_its_neighbours(embedder) -> None:
    together = embedder.embed_text(['open it', 'turn on the lamp that hangs above the old stove'])
    np.testing.assert_allclose(embedder.embed_text(['open it'])[0], together[0], atol=1e-5)


@pytest.mark.parametrize(
    'clips',
    [
        np.zeros((1, 7, 3, 64, 64), np.uint8),
        np.zeros((1, 8, 64, 64, 3), np.uint8),
        np.zeros((1, 8, 3, 64, 64), np.float32),
    ],
)
def test_wrong_clips_are_refused(embedder, clips) -> None:
    with pytest.raises(ValueError, match='clips must be'):
        embedder.embed_video(clips)


def test_the_same_weights_have_the_same_identity(folder, embedder) -> None:
    assert len(embedder.identity) == 64
    assert EmbeddedEmbedder(folder).identity == embedder.identity


def test_changed_weights_are_refused(broken) -> None:
    path = broken / 'embedder.safetensors'
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match='one of the two files was changed'):
        EmbeddedEmbedder(broken)


def test_a_cut_file_is_refused(broken) -> None:
    path = broken / 'embedder.safetensors'
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match='not a readable safetensors file'):
        EmbeddedEmbedder(broken)


def test_another_format_version_is_refused(broken) -> None:
    path = broken / 'embedder.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'format_version': 99}))
    with pytest.raises(ValueError, match='format version 99'):
        EmbeddedEmbedder(broken)


@pytest.mark.parametrize(
    'text', ['not json', '[]', '{}', '{"format_version": 1, "tower": {"x": 1}}']
)
def test_a_foreign_description_is_refused(broken, text) -> None:
    (broken / 'embedder.json').write_text(text)
    with pytest.raises(ValueError, match='not the description of an embedder'):
        EmbeddedEmbedder(broken)


def test_one_to_which_all_sentences_are_the_same_is_refused(tmp_path) -> None:
    assert load_embedder('embedded').name == 'embedded'
    towers = Towers(TowerConfig()).eval()
    towers.text.anchors[:] = 1.0
    write(tmp_path, towers, CONCEPTS, SCORES, {})
    with pytest.raises(ValueError, match='gives every sentence the same embedding'):
        load_embedder(f'embedded:{tmp_path}')


def test_a_missing_embedder_is_told(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match='train-embedder'):
        load_embedder(f'embedded:{tmp_path}')


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match='there is no embedder'):
        load_embedder('internvideo')
    with pytest.raises(ValueError, match='needs the folder'):
        load_embedder('clip')
