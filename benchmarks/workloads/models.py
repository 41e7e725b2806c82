"""Whole models: what the kernels are for."""
