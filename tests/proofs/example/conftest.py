"""The example's proofs use the complete application."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from sqlalchemy import URL

from app.main import create_app
from app.settings import Settings


@pytest.fixture(scope="session")
def settings(database_url: URL) -> Settings:
    return Settings.load()


@pytest.fixture
def make_app() -> Callable[[Settings], FastAPI]:
    return create_app
