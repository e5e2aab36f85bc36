"""Every combination, taken through all that its owner would do on the first day."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from support import interpreters, programs
from support.checks import run_static_checks, run_tests_and_migrate
from support.interpreters import TESTED_ON, parse
from support.projects import Project
from support.questions import (
    Combination,
    behavioural_product,
    file_product,
    first_of_each_database,
    with_file_options,
)
from support.results import Record
from support.root import ROOT

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
    first_of_each_database(),
    [files for files in file_product() if files["python_version"] == OLDEST],
)

MakeProject = Callable[..., Project]


def packages(project: Project) -> set[str]:
    """Return the names in the lock file: what the project depends on may not have its own name."""
    lock = (project.path / "uv.lock").read_text(encoding="utf-8")
    return set(re.findall(r'^name = "(.+)"$', lock, re.MULTILINE))


def slugs_refused() -> set[str]:
    """Return the names that the rule for slugs lists."""
    rules = (ROOT / "includes" / "answers.jinja").read_text(encoding="utf-8")
    (names,) = re.findall(r"text in \[(.*?)\]", rules, re.DOTALL)
    return set(re.findall("'(.+?)'", names))


@pytest.mark.parametrize("combination", MATRIX, ids=str)
def test_combination(
    combination: Combination, make_project: MakeProject, tmp_path: Path, record: Record
) -> None:
    """A fresh project is clean to every tool, its tests pass, and its migrations are complete."""
    record.row(combination)
    with record.stage("render"):
        project = make_project(tmp_path / "service", combination)
        project.git("init", "--quiet")
        project.git("add", "--all")
    with record.stage("dependencies"):
        project.run("uv", "sync")
        assert packages(project) - {project.slug} <= slugs_refused()
    run_static_checks(project, record)
    run_tests_and_migrate(project, record)
    with record.stage("born formatted"):
        project.uv_run("ruff", "format")
        project.uv_run("ruff", "check", "--fix")
        # Nor has anything above left a file behind that git would see.
        status = project.git("status", "--porcelain").splitlines()
        assert [line for line in status if not line.startswith("A  ")] == ["?? uv.lock"]


@pytest.mark.parametrize("combination", ONE_PER_DATABASE[:1], ids=str)
def test_the_workflow_runs(
    combination: Combination, make_project: MakeProject, tmp_path: Path, record: Record
) -> None:
    """Each command of the workflow works, the hooks of pre-commit included."""
    record.row(f"{combination}, workflow")
    files = {**combination.files, "ci": "github"}
    project = make_project(tmp_path / "service", replace(combination, files=files))
    project.git("init", "--quiet")
    project.git("add", "--all")
    text = (project.path / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    steps = yaml.safe_load(text)["jobs"]["check"]["steps"]
    # The hooks look for uv, too.
    path = os.pathsep.join([str(Path(programs.uv()).parent), os.environ["PATH"]])
    for step in steps:
        # Checking out and installing uv are done here.
        if "run" in step and step["run"] != "pipx install uv":
            with record.stage(step["run"]):
                project.run(*step["run"].split(), env={"PATH": path})


@pytest.mark.parametrize("combination", ONE_PER_DATABASE, ids=str)
def test_lowest_versions(
    combination: Combination, make_project: MakeProject, tmp_path: Path, record: Record
) -> None:
    """The lower bounds in the generated pyproject.toml are true."""
    record.row(f"{combination}, lowest versions")
    project = make_project(tmp_path / "service", combination, UV_RESOLUTION="lowest-direct")
    with record.stage("dependencies"):
        project.run("uv", "sync")
    run_tests_and_migrate(project, record)


@pytest.mark.parametrize("version", list(filter(interpreters.find, TESTED_ON)))
@pytest.mark.parametrize("combination", ONE_PER_DATABASE, ids=str)
def test_interpreter(
    combination: Combination,
    version: str,
    make_project: MakeProject,
    tmp_path: Path,
    record: Record,
) -> None:
    """A project that admits old Pythons works on newer ones too."""
    record.row(f"{combination}, Python {version}")
    rendered = make_project(tmp_path / "service", combination)
    project = replace(rendered, python=interpreters.at_least(version))
    with record.stage("dependencies"):
        project.run("uv", "sync")
    run_tests_and_migrate(project, record)
