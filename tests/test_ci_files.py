"""The files of GitHub Actions, GitLab CI/CD, Dependabot and Renovate are valid and sound."""

import re
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from prewired.template import render as render_from
from support.ci_files import INSTALL_UV, SCHEMAS, Findings, files_of, findings, install_actionlint
from support.options import spelled
from support.releases import History
from support.rendering import Renders, once, quick_copier
from support.root import Answer

CHOICES: list[dict[str, Answer]] = [
    {"ci": ci, "container": container, "deploy": deploy, "database": database}
    for ci, container, deploy, database in product(
        ("github", "gitlab"),
        (True, False),
        ("none", "kubernetes"),
        ("sqlite", "postgresql", "mysql"),
    )
]


def name_of(answers: dict[str, Answer]) -> str:
    """Return the name of a render."""
    return "-".join(map(spelled, answers.values()))


@pytest.fixture(scope="module")
def actionlint(shared_folder: Path) -> Path:
    """The folder with the linter for workflows."""
    return once(shared_folder / "actionlint", lambda folder: install(folder))


def install(folder: Path) -> None:
    """Install it into a new folder."""
    folder.mkdir()
    install_actionlint(folder)


@pytest.fixture(scope="module")
def projects(render: Renders) -> dict[str, Path]:
    """Renders of all choices that change the files, by name."""
    return {name_of(answers): render(answers) for answers in CHOICES}


@pytest.fixture(scope="module")
def updated(history: History, shared_folder: Path) -> dict[str, Path]:
    """Renders of a template with a URL, which include its updates, by CI service."""

    def make(folder: Path) -> None:
        with quick_copier(), pytest.MonkeyPatch.context() as patch:
            patch.setenv("COPIER_CACHE_DIR", str(folder.with_name("cache")))
            for ci in ("github", "gitlab"):
                address = f"git+file://{history.path}"
                answers = {"ci": ci, "container": True, "database": "mysql"}
                render_from(address, history.target, folder / ci, answers)

    folder = once(shared_folder / "with-updates", make)
    return {ci: folder / ci for ci in ("github", "gitlab")}


def test_files_are_sound(
    projects: dict[str, Path], updated: dict[str, Path], actionlint: Path
) -> None:
    """All combinations of the choices that change them."""
    projects = projects | updated
    found = findings(projects.values(), actionlint)

    assert {name: found[project] for name, project in projects.items() if found[project]} == {}
    names = {name for name in SCHEMAS for each in projects.values() if (each / name).exists()}
    assert names == SCHEMAS.keys()
    for name, project in projects.items():
        service = name.partition("-")[0]
        others = [
            file for file in files_of(project) if (".github" in file.parts) != (service == "github")
        ]
        assert others == []


def test_choices_change_the_files(projects: dict[str, Path]) -> None:
    """The image is built if there is one, and the linter of SQL knows one database.

    Major versions of the image of a database are not proposed.
    """
    for name, project in projects.items():
        text = "".join(file.read_text(encoding="utf-8") for file in files_of(project))
        _, container, _, database = name.split("-")
        assert ("docker build" in text) == (container == "true")
        assert ("squawk" in text) == (database == "postgresql")
        assert ("mariadb:lts" in text) == (database == "mysql")
        for image, of in (("postgres", "postgresql"), ("mariadb", "mysql")):
            named = re.search(rf"""dependency-name: {image}$|\["{image}"]""", text, re.MULTILINE)
            assert bool(named) == (container == "true" and database == of)


def test_uv_has_one_version(projects: dict[str, Path]) -> None:
    """What CI locks and checks is what the image installs."""
    for project in projects.values():
        files = [*files_of(project), *project.glob("Dockerfile"), *project.glob(".devcontainer/*")]
        text = "".join(file.read_text(encoding="utf-8") for file in files)
        versions = re.findall(r"\buv(?:==|:)(\d+\.\d+)", text)
        assert set(versions) == set(re.findall(r"uv==([\d.]+)\.\*", INSTALL_UV))


def test_none_renders_nothing(render: Renders) -> None:
    """Without a CI service, there are no such files."""
    assert files_of(render({"ci": "none"})) == []


GITHUB, GITLAB = "github", "gitlab"
CI, UPDATE = ".github/workflows/ci.yml", ".github/workflows/update.yml"
DEPENDABOT, PIPELINE, RENOVATE = ".github/dependabot.yml", ".gitlab-ci.yml", "renovate.json"

FAULTS: dict[str, tuple[str, str, str, str, str]] = {
    # render, file, old, new, who finds it
    "unknown key": (GITHUB, CI, "runs-on:", "runs_on:", "schema"),
    "no time limit": (
        GITHUB,
        CI,
        "    timeout-minutes: 15\n    services",
        "    services",
        "schema",
    ),
    "unknown expression": (GITHUB, CI, "github.ref }}", "github.reff }}", "actionlint"),
    "unknown event": (GITHUB, CI, "  pull_request:", "  pull_requests:", "actionlint"),
    "unknown runner": (GITHUB, CI, "ubuntu-latest", "ubuntu-last", "actionlint"),
    "unpinned action": (
        *(GITHUB, UPDATE, "@de0fac2e4500dabe0009e67214ff5f5447ce83dd", "@v6"),
        "zizmor: unpinned-uses",
    ),
    "kept credentials": (
        *(GITHUB, CI, "          persist-credentials: false\n", "          clean: true\n"),
        "zizmor: artipacked",
    ),
    "injection": (
        *(GITHUB, CI, "- run: uv run pytest", "- run: echo ${{ github.event.pull_request.title }}"),
        "zizmor: template-injection",
    ),
    "dangerous trigger": (GITHUB, CI, "  pull_request:", "  pull_request_target:", "dangerous"),
    "permissions of all jobs": (
        *(GITHUB, CI, "permissions: {}", "permissions: write-all"),
        "zizmor: excessive-permissions",
    ),
    "permission to read": (
        *(GITHUB, CI, "permissions: {}", "permissions:\n  contents: read"),
        "Jobs that need no permission",
    ),
    "permission of the job": (GITHUB, CI, "contents: read", "contents: write", "The job check has"),
    "no concurrency": (
        *(GITHUB, UPDATE, "concurrency:\n  group: ${{ github.workflow }}\n", ""),
        "zizmor: concurrency-limits",
    ),
    "shallow clone": (GITHUB, CI, "fetch-depth: 0", "fetch-depth: 1", "last release"),
    "not locked": (GITHUB, CI, "uv sync --locked", "uv sync", "not those of uv.lock"),
    "ignored failure": (GITHUB, CI, "uv run pytest", "uv run pytest || true", "is ignored"),
    "any version of uv": (
        *(GITHUB, CI, 'pipx install "uv==0.13.*"', "pipx install uv"),
        "version of uv",
    ),
    "image that does not start": (
        *(GITHUB, CI, "--read-only my-service ", "--read-only my-sevrice "),
        "does not run",
    ),
    "image that does not start on GitLab": (
        *(GITLAB, PIPELINE, "docker run --rm", "docker create"),
        "does not run",
    ),
    "newer Python": (GITHUB, DEPENDABOT, ', "version-update:semver-minor"', "", "of Python"),
    "newer database": (GITHUB, DEPENDABOT, 'semver-major"]', 'semver-patch"]', "of mariadb"),
    "newer Python on GitLab": (GITLAB, RENOVATE, '["major", "minor"]', '["major"]', "of Python"),
    "newer database on GitLab": (
        *(GITLAB, RENOVATE, '"matchUpdateTypes": ["major"]', '"matchUpdateTypes": ["patch"]'),
        "of mariadb",
    ),
    "schedule of Renovate": (
        *(
            GITLAB,
            RENOVATE,
            '  "minimumReleaseAge"',
            '  "schedule": ["* * * * 1"],\n  "minimumReleaseAge"',
        ),
        "Only some pipelines",
    ),
    "unknown ecosystem": (GITHUB, DEPENDABOT, "system: uv", "system: uvx", "schema"),
    "newest at once": (GITHUB, DEPENDABOT, "default-days: 7", "default-days: 0", "cooldown"),
    "unknown keyword": (GITLAB, PIPELINE, "  script:", "  scripts:", "has no script"),
    "unknown stage": (GITLAB, PIPELINE, "check:\n", "check:\n  stage: chekc\n", "unknown stage"),
    "unknown need": (GITLAB, PIPELINE, "check:\n", "check:\n  needs: [biuld]\n", "unknown job"),
    "unknown parent": (GITLAB, PIPELINE, ".push:", ".pushed:", "extends an unknown job"),
    "job named image": (GITLAB, PIPELINE, "\nbuild:\n", "\nimage:\n", "image is deprecated"),
    "every pipeline": (
        *(GITLAB, PIPELINE, "check:\n  extends: .push\n", "check:\n"),
        "check runs in every pipeline",
    ),
    "token for everybody": (
        *(GITLAB, PIPELINE, "extends: .schedule", "extends: .push"),
        "shows the token",
    ),
    "allowed failure": (
        *(GITLAB, PIPELINE, "check:\n", "check:\n  allow_failure: true\n"),
        "check can fail",
    ),
    "shallow clone on GitLab": (GITLAB, PIPELINE, "GIT_DEPTH: 0", "GIT_DEPTH: 20", "last release"),
    "not locked on GitLab": (GITLAB, PIPELINE, "uv sync --locked", "uv sync", "of uv.lock"),
    "wrong type": (GITLAB, PIPELINE, "interruptible: true", "interruptible: 1", "schema"),
    "unknown strategy": (GITLAB, RENOVATE, "update-lockfile", "update-lock", "schema"),
}
"""Faults that an edit could introduce, and the words that report each of them."""


@pytest.fixture(scope="module")
def found(
    updated: dict[str, Path], actionlint: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """The findings in a copy of a render for each fault."""
    folder = tmp_path_factory.mktemp("faults")
    for number, (render, file, old, new, _) in enumerate(FAULTS.values()):
        copy = folder / str(number)
        for source in files_of(updated[render]):
            target = copy / source.relative_to(updated[render])
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        text = (copy / file).read_text(encoding="utf-8")
        assert old in text, f"{file} does not contain {old!r}."
        (copy / file).write_text(text.replace(old, new), encoding="utf-8")
    everything: Findings = findings(sorted(folder.iterdir()), actionlint)
    return {name: everything[folder / str(number)] for number, name in enumerate(FAULTS)}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found(name: str, found: dict[str, list[str]]) -> None:
    """Each is reported by a schema, by a linter, or by a rule of our own."""
    assert FAULTS[name][-1] in "\n".join(found[name])


def commands(steps: list[dict[str, Any]]) -> list[str]:
    """Return the commands of a job on GitHub, without those that GitLab does not need."""
    return [step["run"] for step in steps if step.get("run", INSTALL_UV) != INSTALL_UV]


@pytest.mark.parametrize("database", ["sqlite", "postgresql", "mysql"])
def test_services_run_the_same_commands(database: str, render: Callable[..., Path]) -> None:
    """Those of GitHub are executed by another test."""
    answers = {"database": database, "container": True}
    workflow, pipeline = [
        yaml.safe_load((render({**answers, "ci": ci}) / file).read_text(encoding="utf-8"))
        for ci, file in (("github", CI), ("gitlab", PIPELINE))
    ]
    since = "$CI_MERGE_REQUEST_DIFF_BASE_SHA"
    checks = [command.replace(since, "$SINCE") for command in pipeline["check"]["script"]]
    assert checks == commands(workflow["jobs"]["check"]["steps"])
    assert pipeline["build"]["script"] == commands(workflow["jobs"]["image"]["steps"])
