"""Readers of model files: ordinary users of the public API."""
