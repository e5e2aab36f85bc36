"""A bare application with mail, and a log in which nothing private can appear."""

from collections.abc import Callable, Iterator
from io import StringIO
from unittest.mock import patch

import pytest
from fastapi import FastAPI

from app import core
from app.core import CoreSettings, features
from tests.proofs.logs import logging_configured

ADDRESS = "ada.lovelace@example.com"
TOKEN = "s3cr3t-t0k3n"  # noqa: S105


@pytest.fixture
def make_app() -> Callable[[CoreSettings], FastAPI]:
    def make_app(settings: CoreSettings) -> FastAPI:
        app = FastAPI()
        with patch.object(features, "_packages", lambda: ["app.core.mail"]):
            core.install(app, settings)
        return app

    return make_app


@pytest.fixture
def log(settings: CoreSettings) -> Iterator[StringIO]:
    """The output of all loggers at level DEBUG; at the end, it must contain no secrets."""
    with logging_configured(settings.model_copy(update={"log_level": "DEBUG"})) as output:
        yield output
    for secret in (ADDRESS, "ada.lovelace", TOKEN, "right", "wrong"):
        assert secret not in output.getvalue()
