"""Targets: one folder each, found by entry point, imported by nobody by name."""
