"""What the manifest of a program says of its kernels (docs/internals/cuda-launcher.md)."""

from __future__ import annotations

from typing import Any

_DTYPES = {"f16": "float16", "bf16": "bfloat16", "f32": "float32", "i8": "uint8", "tf32": "tfloat32"}


def kernels(module: Any) -> list[Any]:
    """Return the kernels of a module at stage `llvm` in the order of their numbers.

    A name, or an object where a launch wants more: dynamic shared memory, tensor maps, a limit of blocks,
    a start before the end of the kernel before it.
    """
    from ..._mlir import ir

    attributes = module.operation.attributes
    extras = ir.DictAttr(attributes["tw.device_extras"]) if "tw.device_extras" in attributes else {}
    found: list[Any] = []
    for each in attributes["tw.device_kernels"]:
        name = ir.StringAttr(each).value
        found.append(_kernel(name, ir.DictAttr(extras[name]), ir) if name in extras else name)
    return found


def _kernel(name: str, extras: Any, ir: Any) -> dict[str, Any]:
    kernel: dict[str, Any] = {"name": name}
    for number in ("shared", "parameters", "persistent"):
        if number in extras:
            kernel[number] = ir.IntegerAttr(extras[number]).value
    if "overlap" in extras:
        kernel["overlap"] = True
    if "maps" in extras:
        kernel["maps"] = [_tensor_map(ir.DictAttr(each), ir) for each in ir.ArrayAttr(extras["maps"])]
    return kernel


def _tensor_map(fields: Any, ir: Any) -> dict[str, Any]:
    return {
        "parameter": ir.IntegerAttr(fields["parameter"]).value,
        "dtype": _DTYPES[str(ir.TypeAttr(fields["type"]).value)],
        "box": list(ir.DenseI64ArrayAttr(fields["box"])),
        "swizzle": ir.IntegerAttr(fields["swizzle"]).value,
    }
