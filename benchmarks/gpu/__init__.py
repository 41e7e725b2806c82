"""How fast programs for a GPU are, against the libraries that the machine has: `make bench-gpu`.

Nothing here is needed to build or use Tilewright; everything that is not installed is left out of the table.
"""
