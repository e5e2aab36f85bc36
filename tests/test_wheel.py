"""A service that is shipped as a wheel."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support import services
from support.databases import DatabaseServer
from support.projects import Project
from support.questions import Combination, largest_of_each_database

SETTINGS = {
    "TOKEN_SECRET": "no secret: only long enough for tests",
    "MAIL_FOLDER": "mails",
}


@pytest.mark.needs_server
@pytest.mark.parametrize("combination", largest_of_each_database(), ids=str)
def test_wheel_migrates_and_serves(
    combination: Combination,
    make_project: Callable[..., Project],
    servers: Callable[[Combination], DatabaseServer],
    tmp_path: Path,
) -> None:
    """It contains the migrations, and runs from any folder."""
    project = make_project(tmp_path / "service", combination)
    project.run("uv", "build", "--quiet", "--wheel")
    (wheel,) = (project.path / "dist").glob("*.whl")
    (tmp_path / "elsewhere" / "mails").mkdir(parents=True)
    elsewhere = replace(project, path=tmp_path / "elsewhere", environments=None).with_settings(
        DATABASE_URL=servers(combination).create(), **SETTINGS
    )
    elsewhere.run("uv", "venv", "--quiet")
    elsewhere.run("uv", "pip", "install", "--quiet", "--python=.venv", str(wheel))

    command = str(elsewhere.path / ".venv" / "bin" / project.slug)
    elsewhere.run(command, "db", "upgrade")
    assert "(head)" in elsewhere.run(command, "db", "current").stdout
    with services.running(elsewhere, command=(command, "serve")) as service:
        assert service.get("/health/ready").status == 200
        service.terminate()
