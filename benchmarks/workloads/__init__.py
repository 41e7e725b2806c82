"""The families of workloads; importing this package registers them."""

from . import attention, calls, elementwise, first_calls, matmul, models, networks, quantised, rows, sweep

__all__ = [
    "attention", "calls", "elementwise", "first_calls", "matmul", "models", "networks", "quantised", "rows", "sweep",
]  # fmt: skip
