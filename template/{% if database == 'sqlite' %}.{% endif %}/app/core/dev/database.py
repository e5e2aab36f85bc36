"""SQLite for development: the default file of DATABASE_URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL

from app.core.settings import DatabaseSettings


@contextmanager
def private_database(_: Path) -> Iterator[URL]:
    """Yield the URL of the database; it needs no server."""
    yield DatabaseSettings.load().database_url
