"""Users are switched on and off in a living project, by the command and by Copier."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from prewired.project import ANSWERS
from support.personas import begin, read, save
from support.releases import SYNTHETIC, History
from support.rendering import texts_in

OWNED = ("app/users/", "tests/users/")
MINE = "\n# Mine.\n"

Update = Callable[[Path, dict[str, Any]], None]


def owned(files: Mapping[str, str]) -> dict[str, str]:
    """Return the files of `app/users` and `tests/users`."""
    return {name: text for name, text in files.items() if name.startswith(OWNED)}


@pytest.fixture(params=["prewired", "copier"])
def update(request: pytest.FixtureRequest, history: History) -> Update:
    """Function that updates a project to the newest release, and commits it."""
    how = history.update if request.param == "prewired" else history.update_by_copier

    def update(project: Path, data: dict[str, Any]) -> None:
        how(project, history.target, data)
        save(project)

    return update


def test_users_are_rendered_once(history: History, update: Update, tmp_path: Path) -> None:
    """On, changed, updated, off and on again: no line of the owner's is lost or comes back."""
    project = tmp_path / "service"
    history.at(SYNTHETIC).render(project)
    begin(project)
    fresh = texts_in(history.current.render(tmp_path / "fresh", {"auth": "jwt"}))

    update(project, {"auth": "jwt"})

    files = read(project)
    assert owned(files) == owned(fresh)
    assert {name for name in fresh if name.startswith("app/core/auth/")} <= files.keys()
    # The project already has migrations, so the owner makes the one of users.
    assert not [name for name in files if "create_users" in name]
    assert yaml.safe_load(files[ANSWERS])["users_are_yours"] is True

    (project / "app" / "users" / "models.py").write_text(
        files["app/users/models.py"] + MINE, encoding="utf-8"
    )
    (project / "app" / "users" / "commands.py").unlink()
    save(project)
    mine = owned(read(project))
    for answers in ({}, {"auth": "none"}, {"auth": "jwt"}):
        update(project, answers)
        assert owned(read(project)) == mine


def test_fresh_service_owns_its_users(history: History, update: Update, tmp_path: Path) -> None:
    """As if they had been switched on before."""
    project = tmp_path / "service"
    history.current.render(project, {"auth": "jwt"})
    begin(project)
    (project / "app" / "users" / "schemas.py").unlink()
    save(project)
    before = read(project)

    update(project, {})

    assert read(project) == before


def test_users_deleted_while_off_are_rendered_again(history: History, tmp_path: Path) -> None:
    """Otherwise, the service would not start; what the owner kept stays."""
    project = tmp_path / "service"
    history.current.render(project, {"auth": "jwt"})
    begin(project)
    fresh = owned(read(project))
    history.update(project, history.target, {"auth": "none"})
    shutil.rmtree(project / "app" / "users")
    (project / "app" / "users" / "__pycache__").mkdir(parents=True)
    tests = project / "tests" / "users"
    (tests / "test_router.py").write_text(MINE, encoding="utf-8")
    (tests / "test_commands.py").unlink()
    save(project)
    kept = owned(read(project))

    history.update(project, history.target, {"auth": "jwt"})

    users = {name: text for name, text in fresh.items() if name.startswith("app/users/")}
    assert owned(read(project)) == users | kept


def test_users_that_are_deleted_stay_deleted(history: History, tmp_path: Path) -> None:
    """Unless the answer changes, a new file of the template brings nothing back."""
    project = tmp_path / "service"
    history.at(SYNTHETIC).render(project, {"auth": "jwt"})
    begin(project)
    shutil.rmtree(project / "tests" / "users")
    save(project)

    history.update(project, history.target)

    assert not (project / "tests" / "users").exists()
    assert (project / "tests" / "core" / "test_settings.py").exists()  # another new file
