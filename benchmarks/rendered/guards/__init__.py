"""Routes that benchmarks/auth.py compares."""
