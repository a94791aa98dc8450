"""Files that mean harm: pickles under every name that we load, headers that lie about sizes."""

from __future__ import annotations

import io
import json
import os
import pickle  # noqa: TID251 - what an attacker would use
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from genrl_ros.config.model import ModelConfig
from genrl_ros.data.bags.bag import find_bags, read_bag
from genrl_ros.data.store.episode_file import Episode, EpisodeError, write_episode
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.video import VideoError, VideoLimits, read_video
from genrl_ros.deploy import manifest
from genrl_ros.domains.base import RobotSpec
from genrl_ros.domains.kitchen.phrases import CONCEPTS
from genrl_ros.serving.policy.bundle import BundleError, load_bundle
from genrl_ros.serving.policy.runner import Encoder, PolicyRunner
from genrl_ros.serving.robot.embodiment_file import load_embodiment
from genrl_ros.system.files import read_at_most, sha256, write_tensors
from genrl_ros.system.share import share_path
from genrl_ros.training.embedder.clips import Clips
from genrl_ros.training.engine.state_file import load_state
from genrl_ros.vlm.embedded import read_embedder
from genrl_ros.world_model.checkpoint import CheckpointError, load_mfwm, save_mfwm
from genrl_ros.world_model.mfwm import MFWM

SPEC = RobotSpec('tiny', ('a',), (1.0,), (), 0.1, 1, 10.0)
unpickled: list[str] = []


def _listen(event: str, arguments: tuple[object, ...]) -> None:
    if event == 'pickle.find_class':
        unpickled.append(str(arguments))


sys.addaudithook(_listen)  # for good: Python has no way to take one away


class Harm:
    """Makes a folder when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return Path.mkdir, (self.canary,)


def plain(harm: Harm) -> bytes:
    return pickle.dumps(harm)


def torch_archive(harm: Harm) -> bytes:
    """As torch.save writes it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w') as archive:
        archive.writestr('archive/data.pkl', pickle.dumps(harm))
        archive.writestr('archive/version', '3\n')
    return content.getvalue()


def numpy_objects(harm: Harm) -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([harm], object), allow_pickle=True)
    return content.getvalue()


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """Is never made, and nothing is ever unpickled."""
    canary = tmp_path / 'canary'
    before = len(unpickled)
    yield canary
    assert not canary.exists(), 'the payload has run'
    assert unpickled[before:] == [], 'something was unpickled'


def world_model(folder: Path) -> Path:
    config = ModelConfig(
        1, embed_dim=4, tokenizer='patch', depth=8, stoch=2, classes=4, deter=8, hidden=8,
        units=8, layers=1,
    )  # fmt: skip
    save_mfwm(folder, MFWM(config), SPEC, 'none', '0' * 64, {})
    return folder


def read_episode(folder: Path) -> None:
    store = EpisodeStore.open(folder)
    store.register('000000')
    np.array(store.image('000000'))


def dataset(folder: Path) -> Path:
    image, action = np.zeros((3, 3, 8, 8), np.uint8), np.zeros((3, 1), np.float32)
    store = EpisodeStore.create(folder, SPEC, 'test', 0)
    store.append('000000', Episode(image, action, action, 'test', '0'))
    return folder


def embedder(folder: Path) -> Path:
    return Path(shutil.copytree(share_path('models', 'embedder'), folder))


def clips(folder: Path) -> Path:
    from genrl_ros.domains.kitchen.phrases import CONCEPTS

    folder.mkdir()
    (folder / 'clips.json').write_text(json.dumps({'concepts': list(CONCEPTS), 'made': {}}))
    for name in ('frames', 'labels', 'split'):
        np.save(folder / f'{name}.npy', np.zeros(3))
    return folder


def read_clips(folder: Path) -> None:
    takes = Clips.open(folder, CONCEPTS)
    for array in (takes.frames, takes.labels):
        if not isinstance(array, np.ndarray):  # an archive, of which nothing was read yet
            raise ValueError('no array')  # noqa: TRY004
        array.sum()


def bag(folder: Path) -> Path:
    (folder / 'bag').mkdir(parents=True)
    for name in ('metadata.yaml', 'bag_0.mcap', 'bag_1.db3'):
        (folder / 'bag' / name).write_bytes(b'')
    return folder


def read_all(folder: Path) -> None:
    damage: list[str] = []
    for file in (folder / 'bag' / 'bag_1.db3', *find_bags(folder)):
        assert not list(read_bag(file, ('/a',), damage.append))
    raise ValueError(str(damage))


def models(folder: Path) -> Path:
    folder.mkdir()
    (folder / manifest.MANIFEST).write_text('')
    return folder


def robot(folder: Path) -> Path:
    folder.mkdir()
    (folder / 'robot.yaml').write_text('')
    return folder


def nothing(folder: Path) -> Path:
    folder.mkdir()
    return folder


Loader = tuple[Callable[[Path], Path], str, Callable[[Path], object]]
LOADERS: list[Loader] = [
    (world_model, 'mfwm.safetensors', load_mfwm),
    (world_model, 'mfwm.json', load_mfwm),
    (nothing, 'state.safetensors', lambda folder: load_state(folder / 'state.safetensors')),
    (nothing, 'encoder.onnx', lambda folder: Encoder.from_file(folder / 'encoder.onnx')),
    (dataset, 'manifest.json', EpisodeStore.open),
    (dataset, 'episodes/000000.safetensors', read_episode),
    (embedder, 'embedder.safetensors', read_embedder),
    (embedder, 'embedder.json', read_embedder),
    (clips, 'clips.json', partial(Clips.open, concepts=CONCEPTS)),
    (clips, 'frames.npy', read_clips),
    (clips, 'labels.npy', read_clips),
    (bag, 'bag/metadata.yaml', read_all),
    (bag, 'bag/bag_0.mcap', read_all),
    (bag, 'bag/bag_1.db3', read_all),
    (models, manifest.MANIFEST, manifest.read),
    (robot, 'robot.yaml', lambda folder: load_embodiment(folder / 'robot.yaml')),
    (nothing, 'prompt.mp4', lambda folder: read_video(folder / 'prompt.mp4')),
]


@pytest.mark.parametrize('disguise', [plain, torch_archive, numpy_objects])
@pytest.mark.parametrize(('make', 'name', 'load'), LOADERS, ids=[name for _, name, _ in LOADERS])
def test_a_pickle_is_refused_under_every_name(
    tmp_path, canary, make, name, load, disguise
) -> None:
    folder = make(tmp_path / 'files')
    (folder / name).write_bytes(disguise(Harm(canary)))
    if name == 'mfwm.safetensors':  # an attacker would mend the hash, too
        card = json.loads((folder / 'mfwm.json').read_text())
        card['sha256'] = sha256(folder / name)
        (folder / 'mfwm.json').write_text(json.dumps(card))
    with pytest.raises(ValueError):  # noqa: PT011 - each loader has an error of its own
        load(folder)


@pytest.mark.parametrize('disguise', [plain, torch_archive, numpy_objects])
@pytest.mark.parametrize('name', ['policy.json', 'encoder.onnx', 'step.onnx', 'actor.onnx'])
def test_a_pickle_in_a_policy_is_refused(canary, make_bundle, name, disguise) -> None:
    content = disguise(Harm(canary))
    if name == 'policy.json':
        bundle = make_bundle()
        (bundle.path / name).write_bytes(content)
    else:
        bundle = make_bundle(graphs={name: content})  # with the right hash
    with pytest.raises(BundleError):
        runner = PolicyRunner(load_bundle(bundle.path))
        runner.encode(np.zeros((3, 64, 64), np.uint8))


def test_the_payload_would_have_worked(tmp_path) -> None:
    """Otherwise the tests above could not fail."""
    count = len(unpickled)
    pickle.loads(plain(Harm(tmp_path / 'canary')))
    assert (tmp_path / 'canary').is_dir() and len(unpickled) > count


@pytest.mark.parametrize(
    ('tensor', 'words'),
    [
        ({'shape': [2**40], 'data_offsets': [0, 2**40]}, 'does not fit the file'),
        ({'shape': [2**32, 2**32], 'data_offsets': [0, 0]}, 'not the size that it says'),
        ({'shape': [-3, -3, 8, 8], 'data_offsets': [0, 576]}, 'does not fit the file'),
        ({'shape': [576], 'data_offsets': [-576, 0]}, 'does not fit the file'),
        ({'shape': [3, 3, 8, 8], 'data_offsets': [0]}, 'is damaged'),
        ({'shape': 'x', 'data_offsets': [0, 0]}, 'is damaged'),
    ],
)
def test_a_tensor_that_lies_about_its_place_is_refused(tmp_path, tensor, words) -> None:
    header = json.dumps({'image': {'dtype': 'U8', **tensor}}).encode()
    path = dataset(tmp_path / 'data') / 'episodes' / '000000.safetensors'
    path.write_bytes(len(header).to_bytes(8, 'little') + header + bytes(576))
    with pytest.raises(EpisodeError, match=words):
        read_episode(tmp_path / 'data')


@pytest.mark.parametrize('length', [2**63, 2**40, 10**7])
def test_a_header_that_is_longer_than_allowed_is_not_read(tmp_path, length) -> None:
    path = dataset(tmp_path / 'data') / 'episodes' / '000000.safetensors'
    path.write_bytes(length.to_bytes(8, 'little') + b'{}' + bytes(1000))
    with pytest.raises(EpisodeError, match='header is longer'):
        read_episode(tmp_path / 'data')
    with pytest.raises(CheckpointError, match='cannot be read'):
        load_state(path)


def test_nested_json_is_refused_not_followed(tmp_path) -> None:
    header = b'{"image":' + b'[' * 100_000
    path = dataset(tmp_path / 'data') / 'episodes' / '000000.safetensors'
    path.write_bytes(len(header).to_bytes(8, 'little') + header)
    with pytest.raises(EpisodeError, match='is damaged'):
        read_episode(tmp_path / 'data')


JSON = [loader for loader in LOADERS if loader[1].endswith('.json')]


@pytest.mark.parametrize(('make', 'name', 'load'), JSON, ids=[name for _, name, _ in JSON])
def test_a_description_that_is_nested_or_huge_is_refused(tmp_path, make, name, load) -> None:
    folder = make(tmp_path / 'folder')
    (folder / name).write_text('{"format_version":' + '[' * 100_000)
    with pytest.raises((ValueError, OSError), match=f'{Path(name).name}.*nested too deeply'):
        load(folder)
    os.truncate(folder / name, 2**40)  # a hole: takes no room on the disk
    with pytest.raises((ValueError, OSError), match=f'{Path(name).name} has {2**40} bytes'):
        load(folder)


def test_a_state_whose_settings_are_nested_is_refused(tmp_path) -> None:
    write_tensors(tmp_path / 'state.safetensors', {}, {'plain': '[' * 100_000})
    with pytest.raises(CheckpointError, match='state.safetensors cannot be read'):
        load_state(tmp_path / 'state.safetensors')


def test_a_world_model_that_claims_a_huge_size_takes_no_memory(tmp_path) -> None:
    folder = world_model(tmp_path / 'model')
    card = json.loads((folder / 'mfwm.json').read_text())
    card['model']['deter'] = card['model']['hidden'] = 2**22  # terabytes
    (folder / 'mfwm.json').write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match='does not fit its description'):
        load_mfwm(folder)


def test_a_loaded_world_model_is_whole(tmp_path) -> None:
    model, _ = load_mfwm(world_model(tmp_path / 'model'))
    tensors = [*model.parameters(), *model.buffers()]
    assert tensors and not any(tensor.is_meta or tensor.requires_grad for tensor in tensors)


def test_a_file_beyond_its_limit_is_not_read(tmp_path, make_bundle) -> None:
    bundle = make_bundle()
    for name in ('policy.json', 'actor.onnx'):
        with (bundle.path / name).open('r+b') as file:
            size = file.seek(0, 2)
            file.truncate(2**40)  # a hole: takes no room on the disk
        with pytest.raises(BundleError, match=f'{name} has {2**40} bytes'):
            load_bundle(bundle.path)
        with (bundle.path / name).open('r+b') as file:
            file.truncate(size)
    (tmp_path / 'encoder.onnx').touch()
    with (tmp_path / 'encoder.onnx').open('r+b') as file:
        file.truncate(2**40)
    with pytest.raises(BundleError, match='are allowed'):
        Encoder.from_file(tmp_path / 'encoder.onnx')
    (tmp_path / 'small').write_bytes(b'12')
    assert read_at_most(tmp_path / 'small', 2) == b'12'


def external_model(location: str) -> onnx.ModelProto:
    """An encoder of one token that keeps its weight in another file."""
    weight = onnx.TensorProto(name='w', data_type=TensorProto.FLOAT, dims=[1, 1, 3])
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (('location', location), ('offset', '0'), ('length', '12')):
        weight.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [
            helper.make_node('Cast', ['image'], ['x'], to=TensorProto.FLOAT),
            helper.make_node('Slice', ['x', 'zeros', 'ends', 'axes'], ['pixel']),
            helper.make_node('Reshape', ['pixel', 'shape'], ['colour']),
            helper.make_node('Add', ['colour', 'w'], ['logits']),
        ],
        'reader',
        [helper.make_tensor_value_info('image', TensorProto.UINT8, [1, 3, 64, 64])],
        [helper.make_tensor_value_info('logits', TensorProto.FLOAT, [1, 1, 3])],
        [
            weight,
            numpy_helper.from_array(np.array([0, 0]), 'zeros'),
            numpy_helper.from_array(np.array([1, 1]), 'ends'),
            numpy_helper.from_array(np.array([2, 3]), 'axes'),
            numpy_helper.from_array(np.array([1, 1, 3]), 'shape'),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)


def test_a_graph_cannot_read_other_files(tmp_path, monkeypatch) -> None:
    """ONNX may keep weights beside the graph; ours may not."""
    (tmp_path / 'secret').write_bytes(np.array([3, 1, 4], np.float32).tobytes())
    path = tmp_path / 'encoder.onnx'
    path.write_bytes(external_model('secret').SerializeToString())
    monkeypatch.chdir(tmp_path)
    # ONNX Runtime itself would do it.
    (logits,) = ort.InferenceSession(path).run(None, {'image': np.zeros((1, 3, 64, 64), np.uint8)})
    assert logits.tolist() == [[[3.0, 1.0, 4.0]]]
    with pytest.raises(BundleError, match="keeps the weights 'w' in another file"):
        Encoder.from_file(path)
    for location in (str(tmp_path / 'secret'), '../secret'):
        with pytest.raises(BundleError, match="keeps the weights 'w' in another file"):
            Encoder(external_model(location).SerializeToString())


def gif(width: int, height: int) -> bytes:
    """One frame, which says that it is huge and has next to nothing in it."""
    size = width.to_bytes(2, 'little') + height.to_bytes(2, 'little')
    return (
        b'GIF89a' + size + b'\x80\0\0' + bytes(3) + b'\xff' * 3 + b',' + bytes(4) + size
        + b'\0\x02\x02\x44\x01\0;'
    )  # fmt: skip


def test_a_video_that_is_too_large_to_decode_is_refused(tmp_path) -> None:
    (tmp_path / 'small.gif').write_bytes(gif(1, 1))
    assert read_video(tmp_path / 'small.gif').frames.shape[1:] == (3, 64, 64)
    (tmp_path / 'huge.gif').write_bytes(gif(65_535, 65_535))
    with pytest.raises(VideoError, match='huge.gif'):
        read_video(tmp_path / 'huge.gif', limits=VideoLimits(timeout_s=10))


def test_a_bundle_cannot_lead_out_of_its_folder(tmp_path, make_bundle) -> None:
    bundle = make_bundle()
    about = json.loads((bundle.path / 'policy.json').read_text())
    about['files']['../../secret'] = about['files'].pop('actor.onnx')
    (bundle.path / 'policy.json').write_text(json.dumps(about))
    with pytest.raises(BundleError, match='"actor.onnx" is missing'):
        load_bundle(bundle.path)


def test_writing_an_episode_needs_no_pickle(tmp_path) -> None:
    """An array of objects is refused rather than pickled."""
    image = np.zeros((2, 3, 8, 8), np.uint8)
    with pytest.raises((TypeError, ValueError)):
        harmful = np.array([[Harm(tmp_path)], [Harm(tmp_path)]], object)
        write_episode(tmp_path / 'a.safetensors', Episode(image, harmful, harmful, 'test', '0'))
