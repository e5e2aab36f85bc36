"""ASGI entry point, configured from the environment."""

from app.core import configure_logging
from app.main import create_app
from app.settings import Settings

settings = Settings.load()
configure_logging(settings)
app = create_app(settings)
