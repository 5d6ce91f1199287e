"""What Umwelt costs: `python -m benchmarks` measures and prints one table. No test asserts a time."""
