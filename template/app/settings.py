"""The service's settings."""

from app.core import CoreSettings


class Settings(CoreSettings):
    """Fields added here are read from environment variables; list them in `.env.example`."""
