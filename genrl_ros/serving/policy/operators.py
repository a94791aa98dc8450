"""Which ONNX graphs are run at all: whole in one file, and of the operators that a policy needs.

None of these loops, branches, or draws random numbers. So a graph does the same work each time,
and as much of it as it has nodes.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from genrl_ros.serving.policy.bundle import BundleError

OPERATORS = frozenset(
    {
        *('Add', 'Cast', 'Concat', 'Constant', 'Conv', 'Div', 'Equal', 'Flatten', 'Gather'),
        *('Gemm', 'Identity', 'LayerNormalization', 'Less', 'MatMul', 'Mod', 'Mul', 'Reshape'),
        *('Shape', 'Sigmoid', 'Slice', 'Sub', 'Tanh', 'Transpose', 'Unsqueeze', 'Where'),
    }
)
"""What `training.behavior.export` writes, of all presets."""
DOMAINS = ('', 'ai.onnx')
"""Both are the operators of ONNX itself."""


def check_graph(graph: bytes, name: str) -> None:
    """Check what an ONNX graph is made of, before anything of it is run.

    Args:
        graph: serialized ONNX.
        name: what error messages call it.

    Raises:
        BundleError: if it is no ONNX graph, has other operators or graphs within graphs, or keeps
            weights in other files.
    """
    try:
        model = onnx.ModelProto.FromString(graph)
    except DecodeError:
        raise BundleError(f'{name} is not a graph that can be run: it is no ONNX') from None
    for problem in _problems(model):
        raise BundleError(f'{name} is not a graph that is run here: {problem}')


def _problems(model: onnx.ModelProto) -> Iterator[str]:
    if model.functions or model.training_info:
        yield 'it defines functions or training steps'
    if model.graph.sparse_initializer:
        yield 'it has sparse weights'
    tensors = list(model.graph.initializer)
    for node in model.graph.node:
        kind = node.op_type if node.domain in DOMAINS else f'{node.domain}.{node.op_type}'
        if kind not in OPERATORS:
            yield (
                f'it has the operator {kind[:80]!r}, which no policy needs; '
                f'there may be: {", ".join(sorted(OPERATORS))}'
            )
        for attribute in node.attribute:
            if attribute.HasField('g') or attribute.graphs:
                yield 'it has a graph within a graph'
            if attribute.HasField('sparse_tensor') or attribute.sparse_tensors:
                yield 'it has sparse weights'
            tensors += [attribute.t, *attribute.tensors]
    for tensor in tensors:
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield f'it keeps the weights {tensor.name[:80]!r} in another file'
