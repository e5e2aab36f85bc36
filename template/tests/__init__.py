"""Tests. Run them with `uv run pytest`."""
