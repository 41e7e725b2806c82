"""The benchmark harness: `python -m benchmarks [NAME…] [--peers …] [--json]`, run from the repository."""
