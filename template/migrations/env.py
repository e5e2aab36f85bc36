"""Alembic's environment; `app/core/migrations` does the work."""

from app.core.migrations import run_environment

run_environment()
