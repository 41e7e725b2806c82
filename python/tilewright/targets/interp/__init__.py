"""Target ``interp``: a program at stage ``traced``, executed operation by operation in NumPy."""
