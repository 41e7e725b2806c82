"""How each system turns a workload into a call. Peers are optional: one that is not installed takes no part."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from .workload import Call, NotOffered, Workload, bfloat16

MODULES = {
    "tilewright": "tilewright",
    "numpy": "numpy",
    "torch": "torch",
    "torch_compile": "torch",
    "jax": "jax",
    "onnxruntime": "onnxruntime",
    "numba": "numba",
    "llama_cpp": "xllamacpp",
    "llama_cpp_q4_0": "xllamacpp",
    "openvino": "openvino",
    "iree": "iree.runtime",
}
DISTRIBUTIONS = {"iree.runtime": "iree-base-runtime"}  # where it is not called like the module
SYSTEMS = tuple(MODULES)


def installed(system: str) -> bool:
    """Return whether the package behind `system` can be imported here."""
    try:
        return importlib.util.find_spec(MODULES[system]) is not None
    except ModuleNotFoundError:  # the parent of a dotted name
        return False


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
        "llama_cpp_q4_0": "llama_cpp_q4_0",
        "openvino": "onnx_graph",
        "iree": "jax_expression",
    }[system]
    if system in workload.excluded:
        return False
    if system == "torch" and workload.torch_call is not None:
        return True
    if system == "onnxruntime" and workload.onnxruntime_call is not None:
        return True
    return system == "tilewright" or getattr(workload, attribute) is not None


def version(system: str) -> str:
    """Return the version of the package behind `system`; of a source tree that was never installed, its commit."""
    import importlib.metadata
    import subprocess

    try:
        return importlib.metadata.version(DISTRIBUTIONS.get(MODULES[system], MODULES[system]))
    except importlib.metadata.PackageNotFoundError:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return f"at {done.stdout.strip()}" if done.returncode == 0 else "source tree"


def prepare(workload: Workload, system: str, inputs: tuple[np.ndarray, ...], threads: int) -> Call:
    """Return a call that runs `workload` once on `system`, compiled on its first use."""
    if workload.self_timed:
        return workload.fresh(system, threads)
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

    def tensor(x: np.ndarray) -> Any:
        if x.dtype.name == "bfloat16":  # torch takes its bits, not the dtype
            return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(x)

    return torch, [tensor(x) for x in inputs]


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

    if workload.onnxruntime_call is not None:
        return workload.onnxruntime_call(threads, *inputs)
    graph = workload.onnx_graph
    assert graph is not None
    if any(x.dtype == bfloat16() for x in inputs):
        raise NotOffered("ONNX Runtime has no bfloat16 kernels on the CPU")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph(*inputs), options, providers=["CPUExecutionProvider"])
    arguments = inputs[: workload.weights_from]
    feed = {i.name: x for i, x in zip(session.get_inputs(), arguments, strict=True)}
    return lambda: session.run(None, feed)


def _openvino(workload: Workload, inputs: tuple, threads: int) -> Call:
    import openvino

    graph = workload.onnx_graph
    assert graph is not None
    core = openvino.Core()
    # Models are read in float32 and rounded by the hint. Float32 means float32: without the hint it would compute in
    # bfloat16 where the processor can.
    rounded = [x.dtype == bfloat16() for x in inputs]
    inputs = tuple(x.astype(np.float32) if r else x for x, r in zip(inputs, rounded, strict=True))
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if any(rounded) else "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(core.read_model(graph(*inputs), b""), "CPU", options).create_infer_request()
    arguments = list(inputs[: workload.weights_from])
    return lambda: request.infer(arguments, share_inputs=True)[0]


def _iree(workload: Workload, inputs: tuple, threads: int) -> Call:
    import jax
    from iree import compiler, runtime

    expression = workload.jax_expression
    assert expression is not None
    lowered = jax.jit(lambda *args: expression(jax, *args), keep_unused=True).lower(*inputs)
    code = compiler.compile_str(
        lowered.as_text(), target_backends=["llvm-cpu"], input_type="stablehlo",
        extra_args=["--iree-llvmcpu-target-cpu=host", "--iree-opt-data-tiling"],
    )  # fmt: skip
    config = runtime.Config("local-task")
    module = runtime.load_vm_module(runtime.VmModule.copy_buffer(config.vm_instance, code), config)
    arrays = [runtime.asdevicearray(config.device, x) for x in inputs]
    return lambda: module.main(*arrays).to_host()


def _llama_cpp(workload: Workload, inputs: tuple, threads: int) -> Call:
    build = workload.llama_cpp
    assert build is not None
    return build(threads, *inputs)


def _llama_cpp_q4_0(workload: Workload, inputs: tuple, threads: int) -> Call:
    build = workload.llama_cpp_q4_0
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
    "llama_cpp_q4_0": _llama_cpp_q4_0,
    "openvino": _openvino,
    "iree": _iree,
}
