"""Every combination passes the checks that its owner would run on the first day."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support import interpreters, proofs, results
from support.checks import (
    functions,
    leave_nothing_to_do,
    migrate,
    run_static_checks,
    run_tests,
    run_tests_under_coverage,
)
from support.databases import ELSEWHERE, DatabaseServer
from support.interpreters import parse
from support.projects import Project
from support.questions import (
    Combination,
    behavioural_product,
    file_product,
    largest_of_each_database,
    with_file_options,
)
from support.results import stage

pytestmark = pytest.mark.needs_server

OLDEST = interpreters.WANTED[0]
NEWEST_FOUND = max(filter(interpreters.find, interpreters.WANTED), key=parse)

MATRIX = with_file_options(
    behavioural_product(),
    [
        files
        for files in file_product()
        if parse(str(files["python_version"])) <= parse(NEWEST_FOUND)
    ],
)

ONE_PER_DATABASE = with_file_options(
    largest_of_each_database(),
    [files for files in file_product() if files["python_version"] == OLDEST],
)


def is_part(combination: Combination) -> bool:
    """Return whether the service is a part of another one; measuring coverage takes long."""
    return False in combination.behaviour.values()


PARTS = [combination for combination in behavioural_product() if is_part(combination)]

MakeProject = Callable[..., Project]
Servers = Callable[[Combination], DatabaseServer]


@pytest.mark.parametrize("combination", MATRIX, ids=str)
def test_combination(
    combination: Combination,
    make_project: MakeProject,
    servers: Servers,
    tmp_path: Path,
    say: results.Say,
) -> None:
    """A fresh project passes all tools and tests, and its migrations are complete."""
    project = make_project(tmp_path / "service", combination)
    project.git("init", "--quiet")
    project.git("add", "--all")
    shipped = functions(project.path / "tests")
    proofs.drop(project.path, combination.answers)
    with stage("dependencies"):
        project.sync()
    run_static_checks(project)
    on_server = project.with_settings(TEST_DATABASE_URL=servers(combination).url)
    if is_part(combination):
        ran, covered = run_tests(on_server), "pass"
    else:
        coverage = run_tests_under_coverage(on_server, tmp_path / "coverage")
        ran, covered = coverage.tests, f"cover {coverage.percent:.1f}% of app/"
    migrate(project, servers(combination))
    leave_nothing_to_do(project)
    say(f"{combination}: {ran} tests ({shipped} shipped test functions) {covered}")


@pytest.mark.parametrize("combination", PARTS, ids=str)
def test_coverage_of_every_file_is_measured(
    combination: Combination, rendered: Callable[[Combination], Path]
) -> None:
    """Without a part, `app/` has no other code than with it."""
    every_part = {name: answer or True for name, answer in combination.answers.items()}
    code = python_in(rendered(combination))
    assert code
    assert code <= python_in(rendered(Combination(every_part)))


def python_in(project: Path) -> set[tuple[str, str]]:
    """Return the names and texts of the modules in `app/`."""
    return {
        (str(file.relative_to(project)), file.read_text(encoding="utf-8"))
        for file in (project / "app").rglob("*.py")
    }


@pytest.mark.parametrize("combination", ONE_PER_DATABASE, ids=str)
def test_lowest_versions(
    combination: Combination, make_project: MakeProject, servers: Servers, tmp_path: Path
) -> None:
    """The minimum versions in the generated pyproject.toml work."""
    project = make_project(tmp_path / "service", combination, UV_RESOLUTION="lowest-direct")
    check(project, servers(combination))


@pytest.mark.parametrize("combination", ONE_PER_DATABASE, ids=str)
def test_newest_python(
    combination: Combination, make_project: MakeProject, servers: Servers, tmp_path: Path
) -> None:
    """A project for old Pythons also works on the newest one, in another time zone."""
    rendered = make_project(tmp_path / "service", combination, TZ=ELSEWHERE)
    check(replace(rendered, python=interpreters.at_least(NEWEST_FOUND)), servers(combination))


def check(project: Project, server: DatabaseServer) -> None:
    """Run the project's tests and migrations."""
    with stage("dependencies"):
        project.sync()
    run_tests(project)
    migrate(project, server)
