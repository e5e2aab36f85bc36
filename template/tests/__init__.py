"""The tests; `uv run pytest` needs nothing set up."""
