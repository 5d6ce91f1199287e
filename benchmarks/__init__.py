"""Benchmarks of Umwelt: `python -m benchmarks` measures and prints one table. No test asserts a time."""
