"""A feature written with SQLModel works in every part of a service, as docs/sqlmodel.md says."""

import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support.databases import ELSEWHERE, DatabaseServer
from support.development import Development
from support.projects import Project
from support.questions import Combination, behavioural_product
from support.root import ROOT

PAGE = ROOT / "docs" / "sqlmodel.md"
SONGS = ROOT / "tests" / "personas" / "sqlmodel"
"""The rest of a feature whose models and routes are in the page."""

BLOCK = re.compile(r"`(app/[\w/]+\.py)`[^`]*?\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)

ROUTES = (
    *("GET /songs", "POST /songs"),
    *(f"{method} /songs/{{song_id}}" for method in ("GET", "PUT", "PATCH", "DELETE")),
)
"""Routes of the feature, which need no user."""

WITHOUT_EXAMPLE = [each for each in behavioural_product() if not each.answers["example"]]


@pytest.mark.needs_server
@pytest.mark.parametrize("combination", WITHOUT_EXAMPLE, ids=str)
def test_songs_api_written_with_sqlmodel(
    combination: Combination,
    make_project: Callable[..., Project],
    servers: Callable[[Combination], DatabaseServer],
    tmp_path: Path,
) -> None:
    """The page's files and commands, and then a whole feature, pass every check."""
    page = PAGE.read_text(encoding="utf-8")
    # Not a shared environment, because its dependencies change.
    project = replace(make_project(tmp_path / "service", combination), environments=None)
    files = dict(BLOCK.findall(page))
    assert list(files) == ["app/database.py", "app/songs/models.py", "app/songs/router.py"]
    for name, code in files.items():
        (project.path / name).parent.mkdir(exist_ok=True)
        (project.path / name).write_text(code, encoding="utf-8")
    project.run("uv", "add", "polyfactory>=3.5", "--dev")
    install, *commands = [
        shlex.split(line) for block in COMMANDS.findall(page) for line in block.splitlines()
    ]
    project.run(*install)

    with Development(project).running():
        for command in commands:
            project.run(*(project.slug if word == "my-service" else word for word in command))
        (created,) = (project.path / "migrations" / "versions").glob("*_create_songs.py")
        revision = created.name.split("_")[3]
        shutil.copytree(
            SONGS, project.path, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
        )
        (loading,) = (project.path / "migrations" / "versions").glob("*_load_songs.py")
        text = loading.read_text(encoding="utf-8")
        loading.write_text(text.replace("{revision}", revision), encoding="utf-8")
        for name in ("upgrade", "check"):
            project.uv_run(project.slug, "db", name)

    public = project.path / "tests" / "users" / "public_routes.txt"
    if public.exists():
        with public.open("a", encoding="utf-8") as lines:
            lines.writelines(f"{route}\n" for route in ROUTES)
    for check in ("ruff check", "ruff format --check", "mypy"):
        project.uv_run(*check.split())
    server = servers(combination)
    assert project.with_settings(TEST_DATABASE_URL=server.url, TZ=ELSEWHERE).tests() > 0
