"""Settings of the service."""

from app.core import CoreSettings


class Settings(CoreSettings):
    """Settings read from environment variables. List each one in `.env.example`."""
