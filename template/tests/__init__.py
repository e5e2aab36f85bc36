"""Tests: `uv run pytest` needs no setup."""
