"""The adapters for CLIP, SigLIP and X-CLIP, with tiny random weights from a folder."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from toy_training import make_store

from genrl_ros.cli.commands import connect, pretrain
from genrl_ros.config.training import (
    ConnectConfig,
    DynamicsConfig,
    NearnessConfig,
    PriorConfig,
    RecordConfig,
    WorldModelConfig,
)
from genrl_ros.vlm import load_embedder
from genrl_ros.vlm.base import VideoTextEmbedder
from genrl_ros.world_model.checkpoint import load_mfwm

transformers = pytest.importorskip('transformers')

TEXT = {
    'hidden_size': 16,
    'intermediate_size': 16,
    'num_hidden_layers': 1,
    'num_attention_heads': 2,
    'max_position_embeddings': 12,
    'vocab_size': 8,
    'bos_token_id': 1,
    'eos_token_id': 2,
    'pad_token_id': 0,
}
VISION = {
    'hidden_size': 16,
    'intermediate_size': 16,
    'num_hidden_layers': 1,
    'num_attention_heads': 2,
    'image_size': 32,
    'patch_size': 16,
}


def make_model(kind) -> torch.nn.Module:
    torch.manual_seed(0)
    if kind == 'clip':
        config = transformers.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=20)
        return transformers.CLIPModel(config)
    if kind == 'siglip':
        config = transformers.SiglipConfig(text_config=TEXT, vision_config=VISION)
        return transformers.SiglipModel(config)
    vision = VISION | {
        'num_frames': 8,
        'mit_hidden_size': 20,
        'mit_intermediate_size': 16,
        'mit_num_attention_heads': 2,
    }
    config = transformers.XCLIPConfig(text_config=TEXT, vision_config=vision, projection_dim=20)
    return transformers.XCLIPModel(config)


def write_tokenizer(folder) -> None:
    words = {'[PAD]': 0, '[BOS]': 1, '[EOS]': 2, '[UNK]': 3, 'open': 4, 'the': 5, 'lamp': 6}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token='[UNK]'))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token='[PAD]', unk_token='[UNK]'
    ).save_pretrained(folder)
    processor = {'image_mean': [0.5, 0.4, 0.3], 'image_std': [0.2, 0.3, 0.4]}
    (folder / 'preprocessor_config.json').write_text(json.dumps(processor))


@pytest.fixture(params=['clip', 'siglip', 'xclip'], scope='module')
def folder(request, tmp_path_factory) -> tuple[str, Path]:
    path = tmp_path_factory.mktemp(request.param)
    make_model(request.param).save_pretrained(path)
    write_tokenizer(path)
    return request.param, path


@pytest.fixture(scope='module')
def embedder(folder) -> VideoTextEmbedder:
    kind, path = folder
    return load_embedder(f'{kind}:{path}')


def frames(count) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 64, 64), dtype=np.uint8)


def test_follows_the_protocol(embedder) -> None:
    assert isinstance(embedder, VideoTextEmbedder)
    assert len(embedder.identity) == 64 and embedder.n_frames == 8


def test_sentences_and_videos_share_a_space(embedder) -> None:
    text = embedder.embed_text(['open the lamp', 'the'])
    video = embedder.embed_video(frames(16).reshape(2, 8, 3, 64, 64))
    assert text.shape == video.shape == (2, embedder.dim)
    for vectors in (text, video):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.abs(text[0] - text[1]).max() > 1e-4


def test_windows_equal_clips(embedder) -> None:
    episode = frames(12)
    clips = np.stack([episode[t - 7 : t + 1] for t in range(7, 12)])
    windows = embedder.embed_windows(episode)
    assert not windows[:7].any()
    np.testing.assert_allclose(windows[7:], embedder.embed_video(clips), atol=1e-5)


def test_a_world_model_is_connected_to_one_of_any_size(folder, embedder, tmp_path) -> None:
    asked = pretrain.Config(
        'toy',
        data=make_store(tmp_path / 'data', side=64),
        run=tmp_path / 'run',
        stage='world-model',
        threads=1,
        embedder='clip:nowhere',  # which is not looked for until it is needed
        record=RecordConfig(picture_every=0),
        world_model=WorldModelConfig(updates=1, batch=2, length=8),
        dynamics=DynamicsConfig(updates=1, batch=2, length=8),
        connect=ConnectConfig(updates=1, batch=2, length=8),
        prior=PriorConfig(updates=1, batch=2),
        nearness=NearnessConfig(updates=1, batch=2),
    )
    assert pretrain.main(asked) == 0
    name = '{}:{}'.format(*folder)
    assert pretrain.main(replace(asked, stage='all', embedder=name)) == 0
    assert load_mfwm(tmp_path / 'run' / 'model')[0].config.embed_dim == embedder.dim

    again = connect.Config(
        'toy', tmp_path / 'run' / 'model', run=tmp_path / 'again', data=asked.data,
        embedder='embedded', threads=1, connect=asked.connect, prior=asked.prior,
        nearness=asked.nearness, record=asked.record,
    )  # fmt: skip
    assert connect.main(again) == 0
    assert load_mfwm(tmp_path / 'again' / 'model')[0].config.embed_dim == 512 != embedder.dim


def test_a_mistyped_embedder_is_told_before_anything_is_trained(tmp_path) -> None:
    config = pretrain.Config('toy', run=tmp_path, embedder='clap')
    with pytest.raises(ValueError, match="there is no embedder 'clap'"):
        pretrain.main(config)
    assert [path.name for path in tmp_path.iterdir()] == ['.lock']


def test_missing_weights_are_refused(folder, tmp_path) -> None:
    kind, path = folder
    for file in path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / 'model.safetensors')
    del weights[sorted(weights)[0]]
    save_file(weights, tmp_path / 'model.safetensors', metadata={'format': 'pt'})
    with pytest.raises(ValueError, match='would be random'):
        load_embedder(f'{kind}:{tmp_path}')


@pytest.fixture
def copy(folder, tmp_path) -> tuple[str, Path]:
    """The embedder's name, and its folder to do harm to."""
    kind, path = folder
    shutil.copytree(path, tmp_path / 'model')
    return f'{kind}:{tmp_path / "model"}', tmp_path / 'model'


def change_config(path, part, **values) -> None:
    config = json.loads((path / 'config.json').read_text())
    config[part] |= values
    (path / 'config.json').write_text(json.dumps(config))


def test_weights_in_parts_are_those_of_the_whole(folder, embedder, tmp_path) -> None:
    kind, _ = folder
    make_model(kind).save_pretrained(tmp_path, max_shard_size='20KB')
    write_tokenizer(tmp_path)
    assert not (tmp_path / 'model.safetensors').exists()
    assert load_embedder(f'{kind}:{tmp_path}').identity == embedder.identity
    part = sorted(tmp_path.glob('model-*.safetensors'))[-1]
    part.rename(tmp_path / 'elsewhere')
    with pytest.raises(FileNotFoundError, match=f'lacks {part.name}'):
        load_embedder(f'{kind}:{tmp_path}')


@pytest.mark.parametrize('index', ['[]', '{"weight_map": {"a": "../model.safetensors"}}'])
def test_an_index_that_is_none_is_refused(copy, index) -> None:
    name, path = copy
    (path / 'model.safetensors').unlink()
    (path / 'model.safetensors.index.json').write_text(index)
    with pytest.raises(ValueError, match='is no index of weights'):
        load_embedder(name)


@pytest.mark.parametrize('file', ['model.safetensors', 'config.json', 'tokenizer.json'])
def test_files_of_git_lfs_torn_files_and_fifos_are_named(copy, file) -> None:
    name, path = copy
    whole = (path / file).read_bytes()
    (path / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=rf'{file} is torn or damaged'):
        load_embedder(name)
    (path / file).write_text('version https://git-lfs.github.com/spec/v1\noid sha256:0\n')
    with pytest.raises(ValueError, match=rf'{file} only stands for a file that Git LFS keeps'):
        load_embedder(name)
    (path / file).unlink()
    os.mkfifo(path / file)
    with pytest.raises(OSError, match=rf'it is a FIFO, not a file.*{file}'):
        load_embedder(name)


def test_weights_for_another_image_size_are_named(copy) -> None:
    name, path = copy
    change_config(path, 'vision_config', image_size=64)
    with pytest.raises(ValueError, match=r'another image size: .*position.* is .*, not '):
        load_embedder(name)


@pytest.mark.filterwarnings('ignore')
def test_a_folder_without_a_tokenizer_is_refused(copy) -> None:
    name, path = copy
    for file in path.glob('*token*'):
        file.unlink()
    with pytest.raises(ValueError, match='tokenizer'):
        load_embedder(name)


def test_a_tokenizer_that_knows_no_word_is_refused(copy) -> None:
    name, path = copy
    words = json.loads((path / 'tokenizer.json').read_text())
    words['model']['vocab'] = dict.fromkeys(('[PAD]', '[BOS]', '[EOS]', '[UNK]'), 0) | {'[UNK]': 3}
    (path / 'tokenizer.json').write_text(json.dumps(words))
    with pytest.raises(ValueError, match='gives every sentence the same embedding'):
        load_embedder(name)


def test_a_tokenizer_of_another_model_is_refused(copy) -> None:
    name, path = copy
    words = json.loads((path / 'tokenizer.json').read_text())
    words['model']['vocab']['a'] = 30000
    (path / 'tokenizer.json').write_text(json.dumps(words))
    with pytest.raises(ValueError, match='the tokenizer of another model'):
        load_embedder(name)


def test_weights_that_are_not_finite_are_refused(copy) -> None:
    name, path = copy
    weights = load_file(path / 'model.safetensors')
    for key in weights:
        if key.startswith('text_model.embeddings'):
            weights[key] = torch.full_like(weights[key], torch.nan)
    save_file(weights, path / 'model.safetensors', metadata={'format': 'pt'})
    with pytest.raises(ValueError, match='not finite'):
        load_embedder(name)


def test_another_kind_is_refused(folder) -> None:
    kind, path = folder
    other = 'siglip' if kind == 'clip' else 'clip'
    with pytest.raises(ValueError, match='holds a model of kind'):
        load_embedder(f'{other}:{path}')


def test_a_missing_folder_is_told(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r'lacks config\.json'):
        load_embedder(f'clip:{tmp_path}')


def test_wrong_clips_are_refused(embedder) -> None:
    with pytest.raises(ValueError, match='clips must be'):
        embedder.embed_video(np.zeros((1, 8, 3, 64, 64), np.float32))
