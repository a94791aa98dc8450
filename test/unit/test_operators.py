"""Which graphs are run: those of what our exporter writes, and no others."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from toy_training import SPEC

from genrl_ros.config.model import PRESETS, model_preset
from genrl_ros.serving.policy.bundle import BundleError
from genrl_ros.serving.policy.operators import OPERATORS, check_graph
from genrl_ros.serving.policy.runner import Encoder, PolicyRunner
from genrl_ros.system.share import share_path
from genrl_ros.training.behavior.export import export_policy, halved, write_model
from genrl_ros.world_model.actor import Actor
from genrl_ros.world_model.checkpoint import load_mfwm
from genrl_ros.world_model.mfwm import MFWM

SIZE = [1, 9]


def make(nodes: list, outputs: tuple = ('y',), **parts: object) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        'graph',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, SIZE)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, SIZE) for name in outputs],
        **parts,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)


def operators(graph: bytes) -> set[str]:
    return {node.op_type for node in onnx.ModelProto.FromString(graph).graph.node}


def test_the_list_is_what_the_exporter_writes(tmp_path) -> None:
    found = set()
    for name in PRESETS:
        config = dataclasses.replace(
            model_preset(name, SPEC.action_dim), depth=8, deter=16, hidden=16, units=16
        )
        model = MFWM(config)
        write_model(tmp_path / name, model, SPEC, 'none', '0', {})
        actor = Actor(config.feat, config.units, config.layers, config.action_dim)
        goal = np.ones(config.embed_dim, np.float32) / np.sqrt(config.embed_dim, dtype=np.float32)
        for graph in export_policy(tmp_path / name, model, actor, goal).values():
            found |= operators(graph)
    assert found == OPERATORS


def test_an_encoder_takes_half_the_space_and_says_the_same(tmp_path) -> None:
    """Its weights are a stored model's, which float16 holds exactly; others stay as they are."""
    torch.manual_seed(0)
    model = MFWM(dataclasses.replace(model_preset('small', SPEC.action_dim), depth=16))
    write_model(tmp_path, model, SPEC, 'none', '0', {})
    small = (tmp_path / 'encoder.onnx').read_bytes()
    stored, _ = load_mfwm(tmp_path)
    with torch.no_grad():
        image = torch.randint(256, (1, 3, 64, 64), dtype=torch.uint8)
        told = ort.InferenceSession(small).run(None, {'image': image.numpy()})[0]
        np.testing.assert_allclose(told, stored.tokenizer.encode(image), rtol=1e-4, atol=1e-4)
    weights = numpy_helper.from_array(np.array([0.5, 0.1] * 500, np.float32).reshape(2, 500), 'w')
    whole = numpy_helper.from_array(np.full((500, 9), 0.25, np.float32), 'v')
    graph = make(
        [
            helper.make_node('MatMul', ['w', 'v'], ['wv']),
            helper.make_node('Slice', ['wv', 'zero', 'one'], ['row']),
            helper.make_node('Add', ['x', 'row'], ['y']),
        ],
        initializer=[
            weights, whole,
            numpy_helper.from_array(np.array([0]), 'zero'),
            numpy_helper.from_array(np.array([1]), 'one'),
        ],
    ).SerializeToString()  # fmt: skip
    x = np.ones(SIZE, np.float32)
    one, other = (
        ort.InferenceSession(each).run(None, {'x': x})[0] for each in (graph, halved(graph))
    )
    assert np.array_equal(one, other)
    kept = {
        tensor.name: tensor
        for tensor in onnx.ModelProto.FromString(halved(graph)).graph.initializer
    }
    assert kept['w'].data_type == TensorProto.FLOAT
    assert kept['v.half'].data_type == TensorProto.FLOAT16
    tensors = onnx.ModelProto.FromString(small).graph.initializer
    assert {each.data_type for each in tensors if len(each.raw_data) > 99} == {TensorProto.FLOAT16}


def test_the_shipped_encoder_is_made_of_them() -> None:
    for path in share_path('models').glob('*/encoder.onnx'):
        Encoder.from_file(path)


def identity(**attributes: object) -> onnx.NodeProto:
    return helper.make_node('Identity', ['x'], ['y'], **attributes)


def with_graph() -> onnx.ModelProto:
    node = identity()
    node.attribute.append(helper.make_attribute('body', make([identity()]).graph))
    return make([node])


def external_constant() -> onnx.ModelProto:
    tensor = numpy_helper.from_array(np.zeros(SIZE, np.float32), 'w')
    tensor.ClearField('raw_data')
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value='secret')
    return make([helper.make_node('Constant', [], ['y'], value=tensor)])


def sparse() -> onnx.ModelProto:
    values = numpy_helper.from_array(np.ones(1, np.float32), 'w')
    indices = numpy_helper.from_array(np.array([0]), 'indices')
    weights = helper.make_sparse_tensor(values, indices, SIZE)
    return make([helper.make_node('Add', ['x', 'w'], ['y'])], sparse_initializer=[weights])


def function() -> onnx.ModelProto:
    model = make([identity()])
    body = helper.make_function(
        'own', 'Twice', ['x'], ['y'], [helper.make_node('Add', ['x', 'x'], ['y'])],
        [helper.make_opsetid('', 17)],
    )  # fmt: skip
    model.functions.append(body)
    return model


@pytest.mark.parametrize(
    ('model', 'words'),
    [
        (make([helper.make_node('Exp', ['x'], ['y'])]), "the operator 'Exp'"),
        (make([helper.make_node('RandomNormalLike', ['x'], ['y'])]), "'RandomNormalLike'"),
        (
            make([helper.make_node('Gelu', ['x'], ['y'], domain='com.microsoft')]),
            "'com.microsoft.Gelu'",
        ),
        (with_graph(), 'a graph within a graph'),
        (external_constant(), "the weights 'w' in another file"),
        (sparse(), 'sparse weights'),
        (function(), 'defines functions'),
    ],
)
def test_what_a_policy_does_not_need_is_refused(model, words) -> None:
    with pytest.raises(
        BundleError, match=f'actor.onnx is not a graph that is run here: .*{words}'
    ):
        check_graph(model.SerializeToString(), 'actor.onnx')
    check_graph(make([identity()]).SerializeToString(), 'actor.onnx')


def test_an_endless_loop_is_refused_before_it_begins(make_bundle, endless_actor) -> None:
    bundle = make_bundle(graphs={'actor.onnx': endless_actor})
    run = (
        'import sys, numpy, onnxruntime\n'
        'session = onnxruntime.InferenceSession(sys.argv[1])\n'
        'print("runs", flush=True)\n'
        'tokens, deter = numpy.zeros((1, 4), int), numpy.zeros((1, 6), numpy.float32)\n'
        'session.run(None, {"tokens": tokens, "deter": deter})\n'
    )
    # ONNX Runtime itself would load it, and never come back.
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        subprocess.run(
            [sys.executable, '-c', run, str(bundle.path / 'actor.onnx')],
            capture_output=True,
            timeout=4,
        )
    assert caught.value.stdout == b'runs\n'
    with pytest.raises(BundleError, match="the operator 'Loop'"):
        PolicyRunner(bundle)
    with pytest.raises(BundleError, match="the operator 'Loop'"):
        Encoder(endless_actor)


def test_another_format_of_onnx_runtime_is_no_way_around(tmp_path, encoder_bytes) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / 'encoder.ort')
    options.add_session_config_entry('session.save_model_format', 'ORT')
    ort.InferenceSession(encoder_bytes, options)
    converted = (tmp_path / 'encoder.ort').read_bytes()
    ort.InferenceSession(converted)  # it takes that one as well
    with pytest.raises(BundleError, match='it is no ONNX'):
        Encoder(converted)
