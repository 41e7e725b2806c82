"""What this machine can do, and how near a program's kernels come to it.

`ceilings.measure` runs small probes, `kernels.measure` times the kernels of a program one by one, `chart` shows both.
"""
