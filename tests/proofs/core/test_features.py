"""Features: folders with models, routes, commands, settings, middleware and error handlers."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import URL
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from structlog.testing import capture_logs

import app
from app import core
from app.core import CoreSettings, features
from tests.proofs.kit import Cli, running

ROUTER = """
from fastapi import APIRouter

router = APIRouter()

@router.get("/visitors")
async def visitors() -> int:
    return 42
"""

COMMANDS = """
import typer

commands = typer.Typer()

@commands.command()
def count() -> None:
    pass
"""

SETTINGS = """
from pydantic import Field

from app.core import EnvironmentSettings

class Settings(EnvironmentSettings):
    visitor_limit: int = Field(gt=0)
"""

SETTINGS_ROUTER = """
from typing import Annotated

from fastapi import APIRouter, Depends

from app.visitors.settings import Settings

router = APIRouter()

@router.get("/limit")
async def limit(settings: Annotated[Settings, Depends(Settings.of)]) -> int:
    return settings.visitor_limit
"""

INSTALL = """
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

def install(app: FastAPI) -> None:
    @app.middleware("http")
    async def limit(request: Request, proceed):
        if request.url.path == "/closed":
            return Response(status_code=418)
        response = await proceed(request)
        response.headers.append("X-Order", "visitors")
        return response

    @app.exception_handler(HTTPException)
    async def short(request: Request, error: HTTPException) -> Response:
        return Response("short", error.status_code)
"""

INSTALL_LATER = """
def install(app):
    @app.middleware("http")
    async def order(request, proceed):
        response = await proceed(request)
        response.headers.append("X-Order", "waiters")
        return response
"""

INSTALL_READING = """
def install(app):
    @app.middleware("http")
    async def read(request, proceed):
        await request.body()
        return await proceed(request)
"""

AddFeature = Callable[..., None]


@pytest.fixture
def add_feature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AddFeature]:
    """Add a feature with these modules to a bare application."""
    folders = tmp_path / "features"
    folders.mkdir()
    monkeypatch.setattr(app, "__path__", [str(folders)])
    added: list[str] = []
    before = dict(sys.modules)

    def add(name: str, **modules: str) -> None:
        for module in [module for module in sys.modules if module.startswith(f"app.{name}")]:
            if not module.startswith("app.core."):
                del sys.modules[module]
        (folders / name).mkdir(parents=True, exist_ok=True)
        for module, text in modules.items():
            (folders / name / f"{module}.py").write_text(text)
        added.append(f"app.{name}")

    yield add
    for module in [module for module in sys.modules if module.startswith(tuple(added))]:
        del sys.modules[module]
    sys.modules.update(before)


def create_app(settings: CoreSettings, **options: str) -> FastAPI:
    app = FastAPI()
    core.install(app, settings, **options)
    return app


async def test_folder_is_a_feature(add_feature: AddFeature, settings: CoreSettings) -> None:
    add_feature("visitors", router=ROUTER, commands=COMMANDS, models="")

    async with running(create_app(settings)) as client:
        assert (await client.get("/visitors")).json() == 42
    assert "visitors" in features.commands()


def test_feature_commands_have_its_name(add_feature: AddFeature) -> None:
    add_feature("visitors", commands=COMMANDS)

    (command,) = features.commands()["visitors"].registered_commands

    assert command.callback
    assert command.callback.__name__ == "count"


def own_routers() -> list[APIRouter]:
    return features.routers(of_core=False)


@pytest.mark.parametrize("collect", [features.import_models, own_routers, features.commands])
def test_models_of_all_features_are_imported(
    add_feature: AddFeature, collect: Callable[[], object]
) -> None:
    """Foreign keys can refer to tables of a feature that has only models."""
    add_feature("visitors", models="")

    collect()

    assert "app.visitors.models" in sys.modules


async def test_feature_needs_only_one_of_its_files(
    add_feature: AddFeature, settings: CoreSettings
) -> None:
    add_feature("visitors", models="")

    assert "visitors" not in features.commands()
    async with running(create_app(settings)) as client:
        assert (await client.get("/visitors")).status_code == 404


async def test_module_can_be_a_package(add_feature: AddFeature, settings: CoreSettings) -> None:
    add_feature("visitors/router", __init__=ROUTER)

    async with running(create_app(settings)) as client:
        assert (await client.get("/visitors")).json() == 42


async def test_routes_can_have_a_prefix(add_feature: AddFeature, settings: CoreSettings) -> None:
    add_feature("visitors", router=ROUTER)

    async with running(create_app(settings, prefix="/api")) as client:
        assert (await client.get("/api/visitors")).json() == 42
        assert (await client.get("/health/live")).status_code == 200


async def test_features_take_precedence_over_mounts(
    add_feature: AddFeature, settings: CoreSettings
) -> None:
    add_feature("visitors", router=ROUTER)
    app = FastAPI()
    app.routes.append(Mount("/", PlainTextResponse("a front end")))
    core.install(app, settings)

    async with running(app) as client:
        assert (await client.get("/visitors")).json() == 42
        assert (await client.get("/health/live")).json() == {"status": "ok"}
        assert (await client.get("/docs")).headers["Content-Type"].startswith("text/html")
        assert (await client.get("/elsewhere")).text == "a front end"


async def test_catch_all_does_not_hide_the_documentation(
    add_feature: AddFeature, settings: CoreSettings
) -> None:
    add_feature("visitors", router=ROUTER.replace("/visitors", "/{path:path}"))

    async with running(create_app(settings)) as client:
        assert (await client.get("/anything")).json() == 42
        assert (await client.get("/openapi.json")).json()["openapi"]
        assert (await client.get("/health/live")).json() == {"status": "ok"}


async def test_handler_gets_feature_settings(
    add_feature: AddFeature, settings: CoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_feature("visitors", settings=SETTINGS, router=SETTINGS_ROUTER)
    monkeypatch.setenv("VISITOR_LIMIT", "3")
    app = create_app(settings)
    monkeypatch.setenv("VISITOR_LIMIT", "4")

    async with running(app) as client:
        assert (await client.get("/limit")).json() == 3


@pytest.mark.usefixtures("no_settings")
def test_feature_reads_its_settings_from_env(add_feature: AddFeature) -> None:
    add_feature("visitors", settings=SETTINGS)
    Path(".env").write_text("VISITOR_LIMIT=5\n")

    (found,) = [
        each for each in features.settings_classes() if "visitor_limit" in each.model_fields
    ]

    assert found.load().model_dump() == {"visitor_limit": 5}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"^VISITOR_LIMIT is not set: set it in the environment or in \.env \(see .*\)\.$"),
        ("0", r"^VISITOR_LIMIT is invalid: .*\.$"),
    ],
)
def test_feature_settings_are_validated_at_startup(
    add_feature: AddFeature,
    settings: CoreSettings,
    monkeypatch: pytest.MonkeyPatch,
    value: str | None,
    message: str,
) -> None:
    add_feature("visitors", settings=SETTINGS)
    monkeypatch.delenv("VISITOR_LIMIT", raising=False)
    if value:
        monkeypatch.setenv("VISITOR_LIMIT", value)

    with pytest.raises(SystemExit, match=message):
        create_app(settings)


async def test_migrations_do_not_require_feature_settings(
    add_feature: AddFeature, monkeypatch: pytest.MonkeyPatch, run: Cli, scratch_database: URL
) -> None:
    add_feature("visitors", settings=SETTINGS)
    monkeypatch.delenv("VISITOR_LIMIT", raising=False)

    assert await run("db", "current", url=scratch_database) == 0


async def test_feature_adds_middleware_and_error_handlers(
    add_feature: AddFeature, settings: CoreSettings
) -> None:
    add_feature("visitors", install=INSTALL)
    add_feature("waiters", install=INSTALL_LATER)

    async with running(create_app(settings)) as client:
        response = await client.get("/nowhere")
        with capture_logs() as logs:
            closed = await client.get("/closed")

    assert response.text == "short"
    assert response.headers.get_list("X-Order") == ["visitors", "waiters"]
    assert closed.headers["X-Request-ID"]
    assert [(line["path"], line["status"]) for line in logs] == [("/closed", 418)]


async def test_middleware_of_a_feature_is_limited(
    add_feature: AddFeature, settings: CoreSettings
) -> None:
    add_feature("visitors", install=INSTALL_READING)
    app = create_app(settings.model_copy(update={"max_body_size": 10}))

    async with running(app) as client:
        response = await client.post("/nowhere", content=b"x" * 11)

    assert response.status_code == 413


@pytest.mark.parametrize(
    ("module", "name", "what"),
    [
        ("router", "router", "an instance of APIRouter"),
        ("commands", "commands", "an instance of Typer"),
        ("settings", "Settings", "a subclass of EnvironmentSettings"),
        ("install", "install", "an instance of function"),
    ],
)
@pytest.mark.parametrize("text", ["", "{name} = 1"])
def test_module_without_its_required_name_is_refused(
    add_feature: AddFeature, settings: CoreSettings, module: str, name: str, what: str, text: str
) -> None:
    add_feature("visitors", **{module: text.format(name=name)})

    sentence = rf"^app/visitors/{module}\.py must define `{name}`, {what}\.$"
    with pytest.raises(SystemExit, match=sentence):
        features.commands() if module == "commands" else create_app(settings)


@pytest.mark.parametrize(
    ("name", "module", "message"),
    [
        ("visitors", "helpers", r"^app/visitors is not a feature: .* one of commands\.py, "),
        ("visitors", "__init__", r"^app/visitors is not a feature: "),
        (
            "our-visitors",
            "router",
            r"^app/our-visitors is not a feature: a feature has a Python identifier as its name",
        ),
    ],
)
def test_invalid_feature_folder_is_refused(
    add_feature: AddFeature, settings: CoreSettings, name: str, module: str, message: str
) -> None:
    add_feature(name, **{module: ROUTER})

    with pytest.raises(SystemExit, match=message):
        create_app(settings)


def test_folder_without_python_is_ignored(
    add_feature: AddFeature, settings: CoreSettings, tmp_path: Path
) -> None:
    add_feature("static")
    (tmp_path / "features" / "static" / "logo.svg").touch()

    create_app(settings)


@pytest.mark.parametrize("name", ["db", "dev", "serve"])
def test_duplicate_command_is_refused(add_feature: AddFeature, name: str) -> None:
    add_feature(name, commands=COMMANDS)

    message = (
        rf"^app/{name}/commands\.py: the command `{name}` already exists; rename the folder\.$"
    )
    with pytest.raises(SystemExit, match=message):
        features.commands()


@pytest.mark.parametrize("name", ["core_", "db", "health", "items", "main", "settings", "engine"])
async def test_feature_can_have_any_name(
    add_feature: AddFeature, settings: CoreSettings, name: str
) -> None:
    add_feature(name, router=ROUTER, models="")

    async with running(create_app(settings)) as client:
        assert (await client.get("/visitors")).json() == 42
