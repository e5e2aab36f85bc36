"""Ordinary changes by owners do not break the shipped tests and the proofs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support import proofs
from support.databases import ELSEWHERE, DatabaseServer
from support.ordinary import CHANGES, CHANGES_OF_USERS, Change
from support.projects import Project
from support.questions import (
    Combination,
    behavioural_product,
    first_of,
    first_of_each_database,
)

pytestmark = pytest.mark.needs_server

MakeProject = Callable[..., Project]
Servers = Callable[[Combination], DatabaseServer]

WITH_USERS = next(each for each in behavioural_product() if each.answers["auth"] == "jwt")

OF_FEATURES = ("auth", "example")
"""Proofs that use features, which owners change."""


def core_tests(project: Path) -> list[str]:
    """Return the tests that must pass after every change: all except those of features."""
    folders = [path for path in (project / "tests" / "proofs").iterdir() if path.is_dir()]
    return [
        "tests/core",
        *(f"tests/proofs/{each.name}" for each in folders if each.name not in OF_FEATURES),
    ]


@pytest.fixture
def changed(make_project: MakeProject, servers: Servers, tmp_path: Path) -> Callable[..., Project]:
    """Create a project with proofs, and apply changes to it."""

    def make(combination: Combination, *changes: Change) -> Project:
        project = make_project(tmp_path / "service", combination)
        proofs.drop(project.path, combination.answers)
        for change in changes:
            change.make(project.path)
        project.sync()
        for change in changes:
            if change.migration:
                project.uv_run(project.slug, "db", "upgrade")
                project.uv_run(project.slug, "db", "revision", "-m", change.migration)
        return project.with_settings(TEST_DATABASE_URL=servers(combination).url, TZ=ELSEWHERE)

    return make


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
@pytest.mark.parametrize("combination", [first_of("sqlite")], ids=str)
def test_ordinary_change_leaves_tests_green(
    combination: Combination, change: Change, changed: Callable[..., Project]
) -> None:
    """All tests pass; if responses change, at least the tests of core."""
    project = changed(combination, change)

    selected = core_tests(project.path) if change.answers_change else []
    assert project.tests(*selected) > 0


@pytest.mark.parametrize("change", CHANGES_OF_USERS, ids=lambda change: change.name)
@pytest.mark.parametrize("combination", [WITH_USERS], ids=str)
def test_ordinary_change_of_users_leaves_tests_green(
    combination: Combination, change: Change, changed: Callable[..., Project]
) -> None:
    """All shipped tests pass."""
    project = changed(combination, change)

    assert project.tests("--ignore=tests/proofs") > 0


@pytest.mark.parametrize("combination", [*first_of_each_database(), WITH_USERS], ids=str)
def test_all_ordinary_changes_at_once_leave_tests_green(
    combination: Combination, changed: Callable[..., Project]
) -> None:
    """The combination is tested on each database."""
    project = changed(combination, *CHANGES)

    assert project.tests(*core_tests(project.path)) > 0
