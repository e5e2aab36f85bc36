import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import app
from app import features
from app.main import create_app
from app.settings import Settings
from tests.running import running

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
"""


@pytest.fixture
def feature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that the application finds among its features."""
    folder = tmp_path / "visitors"
    folder.mkdir()
    monkeypatch.setattr(app, "__path__", [*app.__path__, str(tmp_path)])
    yield folder
    for name in [name for name in sys.modules if name.startswith("app.visitors")]:
        del sys.modules[name]


async def test_a_folder_is_a_feature(feature: Path, settings: Settings) -> None:
    (feature / "router.py").write_text(ROUTER)
    (feature / "commands.py").write_text(COMMANDS)
    (feature / "models.py").touch()

    async with running(create_app(settings)) as client:
        assert (await client.get("/visitors")).json() == 42
    assert "visitors" in features.commands()


@pytest.mark.parametrize("collect", [features.import_models, features.routers, features.commands])
def test_the_models_of_all_features_are_there(feature: Path, collect: Callable[[], object]) -> None:
    """A table may refer to one of a feature that has nothing but tables."""
    (feature / "models.py").touch()

    collect()

    assert "app.visitors.models" in sys.modules


async def test_a_feature_needs_none_of_its_files(feature: Path, settings: Settings) -> None:
    assert "visitors" not in features.commands()
    async with running(create_app(settings)) as client:
        assert (await client.get("/visitors")).status_code == 404
