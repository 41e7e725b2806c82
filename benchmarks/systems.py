"""How each system turns a workload into a call. Peers are optional: one that is not installed takes no part."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from .workload import Call, Workload

MODULES = {
    "tilewright": "tilewright",
    "numpy": "numpy",
    "torch": "torch",
    "torch_compile": "torch",
    "jax": "jax",
    "onnxruntime": "onnxruntime",
    "numba": "numba",
    "llama_cpp": "xllamacpp",
}
SYSTEMS = tuple(MODULES)


def installed(system: str) -> bool:
    """Return whether the package behind `system` can be imported here."""
    return importlib.util.find_spec(MODULES[system]) is not None


def takes_part(workload: Workload, system: str) -> bool:
    """Return whether the workload states how to run on `system`."""
    attribute = {
        "tilewright": "tilewright",
        "numpy": "numpy_expression",
        "torch": "torch_expression",
        "torch_compile": "torch_expression",
        "jax": "jax_expression",
        "numba": "numba_kernel",
        "onnxruntime": "onnx_graph",
        "llama_cpp": "llama_cpp",
    }[system]
    if system == "torch" and workload.torch_call is not None:
        return True
    return getattr(workload, attribute) is not None


def version(system: str) -> str:
    """Return the version of the package behind `system`; a source tree that was never installed has none."""
    import importlib.metadata

    try:
        return importlib.metadata.version(MODULES[system])
    except importlib.metadata.PackageNotFoundError:
        return "source tree"


def prepare(workload: Workload, system: str, inputs: tuple[np.ndarray, ...], threads: int) -> Call:
    """Return a call that runs `workload` once on `system`, compiled on its first use."""
    return _PREPARE[system](workload, inputs, threads)


def _tilewright(workload: Workload, inputs: tuple, threads: int) -> Call:
    return workload.tilewright(*inputs)


def _numpy(workload: Workload, inputs: tuple, threads: int) -> Call:
    expression = workload.numpy_expression
    assert expression is not None
    return lambda: expression(*inputs)


def _torch_inputs(inputs: tuple, threads: int) -> tuple[Any, list]:
    import torch

    torch.set_num_threads(threads)
    return torch, [torch.from_numpy(x) for x in inputs]


def _torch(workload: Workload, inputs: tuple, threads: int) -> Call:
    torch, tensors = _torch_inputs(inputs, threads)
    if workload.torch_call is not None:
        return workload.torch_call(torch, *inputs)
    expression = workload.torch_expression
    assert expression is not None

    def call() -> Any:
        with torch.inference_mode():
            return expression(torch, *tensors)

    return call


def _torch_compile(workload: Workload, inputs: tuple, threads: int) -> Call:
    torch, tensors = _torch_inputs(inputs, threads)
    expression = workload.torch_expression
    assert expression is not None
    compiled = torch.compile(lambda *args: expression(torch, *args), dynamic=False)

    def call() -> Any:
        with torch.inference_mode():
            return compiled(*tensors)

    return call


def _jax(workload: Workload, inputs: tuple, threads: int) -> Call:
    import jax

    expression = workload.jax_expression
    assert expression is not None
    compiled = jax.jit(lambda *args: expression(jax, *args))
    arrays = [jax.numpy.asarray(x) for x in inputs]
    return lambda: compiled(*arrays).block_until_ready()


def _numba(workload: Workload, inputs: tuple, threads: int) -> Call:
    import numba

    numba.set_num_threads(threads)
    kernel = workload.numba_kernel
    assert kernel is not None
    return kernel(numba, *inputs)


def _onnxruntime(workload: Workload, inputs: tuple, threads: int) -> Call:
    import onnxruntime

    graph = workload.onnx_graph
    assert graph is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph(*inputs), options, providers=["CPUExecutionProvider"])
    feed = {i.name: x for i, x in zip(session.get_inputs(), inputs, strict=True)}
    return lambda: session.run(None, feed)


def _llama_cpp(workload: Workload, inputs: tuple, threads: int) -> Call:
    build = workload.llama_cpp
    assert build is not None
    return build(threads, *inputs)


_PREPARE = {
    "tilewright": _tilewright,
    "numpy": _numpy,
    "torch": _torch,
    "torch_compile": _torch_compile,
    "jax": _jax,
    "numba": _numba,
    "onnxruntime": _onnxruntime,
    "llama_cpp": _llama_cpp,
}


def onnx_model(
    nodes: list, inputs: dict[str, tuple], output: str, constants: dict[str, np.ndarray] | None = None
) -> bytes:
    """Return a serialised ONNX model of float32 `inputs` (name → shape) with one float32 `output`.

    Args:
        nodes: tuples (op type, input names, output name, attributes).
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node(op, list(args), [result], **attributes) for op, args, result, attributes in nodes],
        "benchmark",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    onnx.checker.check_model(model)
    return model.SerializeToString()
