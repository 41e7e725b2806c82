"""The families of workloads; importing this package registers them."""

from . import attention, calls, elementwise, matmul, models, rows

__all__ = ["attention", "calls", "elementwise", "matmul", "models", "rows"]
