"""Factories of songs."""

from app.songs.models import Song
from tests.core.factories import ModelFactory


class SongFactory(ModelFactory[Song]):
    """Builds songs with random values."""
