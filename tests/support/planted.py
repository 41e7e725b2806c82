"""A planted fault: an addition as each stage spells it, and what a broken pass might have made of it."""

SUBTRACTION = {
    "traced": ("tw.add", "tw.sub"),
    "tensor": ("tw.add", "tw.sub"),
    "linalg": ("arith.addf", "arith.subf"),
    "kernels": ("arith.addf", "arith.subf"),
    "tiled": ("arith.addf", "arith.subf"),
    "vector": ("arith.addf", "arith.subf"),
    "buffers": ("arith.addf", "arith.subf"),
    "target": ("arith.addf", "arith.subf"),
    "llvm": ("llvm.fadd", "llvm.fsub"),
}


def plant(stage: str, text: str) -> str:
    """Turn the additions of a dump into subtractions."""
    right, wrong = SUBTRACTION[stage]
    assert right in text
    return text.replace(right, wrong)
