"""Runs once when the bindings are loaded: makes our dialects and passes known to every context."""

from ._tilewright import register_dialects, register_passes

# Dialects are loaded when an operation of theirs is parsed or built, so that a context costs microseconds.
disable_load_all_available_dialects = True

register_passes()
