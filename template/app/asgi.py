"""What a server imports: the application with this process's settings."""

from app.logs import configure_logging
from app.main import create_app
from app.settings import load_settings

settings = load_settings()
configure_logging(settings)
app = create_app(settings)
