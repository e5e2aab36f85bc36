"""Fixtures of the core tests: an application without features."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from sqlalchemy import URL

from app import core
from app.core import CoreSettings, features


@pytest.fixture(scope="session")
def settings(database_url: URL) -> CoreSettings:
    return CoreSettings.load()


@pytest.fixture
def make_app(monkeypatch: pytest.MonkeyPatch) -> Callable[[CoreSettings], FastAPI]:
    def make_app(settings: CoreSettings) -> FastAPI:
        app = FastAPI()
        with monkeypatch.context() as patch:
            patch.setattr(features, "_packages", list)
            core.install(app, settings)
        return app

    return make_app
