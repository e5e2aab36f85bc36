"""Features with settings of their own, and with middleware and error handlers."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL
from structlog.testing import capture_logs

import app
from app import features
from app.main import create_app
from app.settings import Settings, load_settings, settings_class
from tests.command_line import Cli
from tests.running import running

SETTINGS = """
from pydantic import Field
from pydantic_settings import BaseSettings

class Settings(BaseSettings):
    visitor_limit: int = Field(gt=0)
"""

INSTALL = """
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from app.visitors.settings import Settings

def install(app: FastAPI, settings: Settings) -> None:
    @app.middleware("http")
    async def limit(request: Request, proceed):
        if request.url.path == "/closed":
            return Response(status_code=418)
        response = await proceed(request)
        response.headers["X-Limit"] = str(settings.visitor_limit)
        response.headers.append("X-Order", "visitors")
        return response

    @app.exception_handler(HTTPException)
    async def short(request: Request, error: HTTPException) -> Response:
        return Response("short", error.status_code)
"""

INSTALL_LATER = """
def install(app, settings):
    @app.middleware("http")
    async def order(request, proceed):
        response = await proceed(request)
        response.headers.append("X-Order", "waiters")
        return response
"""

AddFeature = Callable[..., None]


@pytest.fixture
def add_feature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AddFeature]:
    """Adds a folder with these modules to the application."""
    folders = tmp_path / "features"
    monkeypatch.setattr(app, "__path__", [*app.__path__, str(folders)])
    added: list[str] = []

    def add(name: str, **modules: str) -> None:
        (folders / name).mkdir(parents=True)
        for module, text in modules.items():
            (folders / name / f"{module}.py").write_text(text)
        added.append(f"app.{name}")

    yield add
    for module in [module for module in sys.modules if module.startswith(tuple(added))]:
        del sys.modules[module]


@pytest.fixture
def visited(add_feature: AddFeature, settings: Settings) -> Settings:
    """Settings for an application with such a feature."""
    add_feature("visitors", settings=SETTINGS, install=INSTALL)
    return settings_class()(_env_file=None, visitor_limit=3, **dict(settings))


@pytest.mark.usefixtures("own_database")
def test_a_feature_reads_its_settings_from_env(
    add_feature: AddFeature, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add_feature("visitors", settings=SETTINGS)
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("VISITOR_LIMIT=5\n")

    assert load_settings().model_dump()["visitor_limit"] == 5


@pytest.mark.usefixtures("own_database")
async def test_a_missing_setting_of_a_feature_is_one_sentence(
    add_feature: AddFeature, monkeypatch: pytest.MonkeyPatch, run: Cli, scratch_database: URL
) -> None:
    add_feature("visitors", settings=SETTINGS)
    monkeypatch.delenv("VISITOR_LIMIT", raising=False)

    words = await run("db", "current", url=scratch_database)

    assert words == (
        "VISITOR_LIMIT is not set: set it in the environment or in .env (see .env.example)."
    )


@pytest.mark.usefixtures("own_database")
def test_a_wrong_setting_of_a_feature_is_one_sentence(
    add_feature: AddFeature, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_feature("visitors", settings=SETTINGS)
    monkeypatch.setenv("VISITOR_LIMIT", "0")

    with pytest.raises(SystemExit, match=r"^VISITOR_LIMIT is wrong: .*\.$"):
        load_settings()


@pytest.mark.parametrize("name", ["visitor_limit", "log_level"])
def test_a_setting_of_two_features_is_refused(add_feature: AddFeature, name: str) -> None:
    add_feature("visitors", settings=SETTINGS)
    add_feature("waiters", settings=SETTINGS.replace("visitor_limit", name))

    with pytest.raises(SystemExit, match=f"^{name.upper()} is in two settings classes: .*\\.$"):
        settings_class()


async def test_a_feature_adds_middleware(visited: Settings) -> None:
    async with running(create_app(visited)) as client:
        assert (await client.get("/health/live")).headers["X-Limit"] == "3"


async def test_a_feature_replaces_an_error_handler(visited: Settings) -> None:
    async with running(create_app(visited)) as client:
        assert (await client.get("/nowhere")).text == "short"


async def test_an_answer_of_installed_middleware_is_logged(visited: Settings) -> None:
    async with running(create_app(visited)) as client:
        with capture_logs() as logs:
            response = await client.get("/closed")

    assert response.headers["X-Request-ID"]
    assert [(line["path"], line["status"]) for line in logs] == [("/closed", 418)]


async def test_a_later_feature_is_outside(visited: Settings, add_feature: AddFeature) -> None:
    add_feature("waiters", install=INSTALL_LATER)

    async with running(create_app(visited)) as client:
        response = await client.get("/health/live")

    assert response.headers.get_list("X-Order") == ["visitors", "waiters"]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("router", "router"),
        ("commands", "commands"),
        ("settings", "Settings"),
        ("install", "install"),
    ],
)
@pytest.mark.parametrize("text", ["", "{name} = 1"])
def test_a_module_without_its_name_is_refused(
    add_feature: AddFeature, settings: Settings, module: str, name: str, text: str
) -> None:
    add_feature("visitors", **{module: text.format(name=name)})

    with pytest.raises(
        SystemExit, match=rf"^app/visitors/{module}\.py must define `{name}`: .*\.$"
    ):
        features.commands() if module == "commands" else create_app(
            settings_class()(_env_file=None, **dict(settings))
        )
