"""The example's proofs use the complete application."""

from collections.abc import Callable
from importlib.util import find_spec

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import URL

from app.main import create_app
from app.settings import Settings


@pytest.fixture(scope="session")
def settings(database_url: URL) -> Settings:
    return Settings.load()


@pytest.fixture
def make_app() -> Callable[[Settings], FastAPI]:
    return create_app


@pytest.fixture
def client(request: pytest.FixtureRequest, client: AsyncClient) -> AsyncClient:
    """In a service with users, the client of an admin."""
    if find_spec("tests.core.auth"):
        admin_client: AsyncClient = request.getfixturevalue("admin_client")
        return admin_client
    return client
