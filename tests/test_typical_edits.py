"""Owners' typical edits of shared files do not conflict with a release's typical changes."""

import tomllib
from collections.abc import Callable
from dataclasses import replace
from email.parser import Parser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

from prewired.merging import merge
from prewired.project import Project as Service
from prewired.template import cloned, move_out
from support.ci_files import INSTALL_UV
from support.edits import (
    Change,
    Trial,
    after,
    at_end,
    before,
    combined,
    in_each_table,
    inside,
    merge_all,
    replaced,
    uv_add,
)
from support.personas import begin, read, save
from support.projects import MANUAL, Project
from support.questions import Combination, first_of, first_of_each_database
from support.rendering import Template, git
from support.results import Say


def step(name: str) -> list[str]:
    """Return the lines of a step in a workflow."""
    return [f"      - name: {name}", f"        run: uv run {name.lower()}"]


def in_job_environment(text: str) -> str:
    """Add a variable to the job, which has some if it uses a service container."""
    if "    env:\n      TEST_DATABASE_URL" in text:
        return after("TEST_DATABASE_URL:", "      TZ: Europe/Vienna")(text)
    return before("steps:", "    env:", "      TZ: Europe/Vienna")(text)


EDITS: dict[str, dict[str, Change]] = {
    "pyproject.toml": {
        "dependency before the own name": uv_add("boto3>=1.40"),
        "dependency next to the own name": uv_add("my-service-client>=1"),
        "dependency after the own name": uv_add("zstandard>=0.23"),
        "three dependencies": uv_add("boto3>=1.40", "my-service-client>=1", "zstandard>=0.23"),
        "development dependency": uv_add("--dev", "time-machine>=2.16"),
        "two development dependencies": uv_add("--dev", "asgi-lifespan>=2", "time-machine>=2.16"),
        "extra": uv_add("--optional", "reports", "openpyxl>=3.1"),
        "group": uv_add("--group", "docs", "mkdocs>=1.6"),
        "script": after("my-service = ", 'my-worker = "app.worker:main"'),
        "version": replaced('version = "0.1.0"', 'version = "1.4.0"'),
        "description": replaced("An asynchronous web service.", "Bills and reminders."),
        "authors": before("classifiers = [", 'authors = [{ name = "Ada Lovelace" }]'),
        "classifier": inside("classifiers = [", '    "Typing :: Typed",'),
        "line length": replaced("line-length = 100", "line-length = 120"),
        "rule in the middle": after('"A",', '    "ANN",'),
        "last rule": after('"W",', '    "YTT",'),
        "ignored rule": inside("ignore = [", '    "S311",  # no cryptography here'),
        "rule for tests": inside('"tests/**" = [', '    "T20",'),
        "rules for a folder": after('"migrations/versions/**"', '"scripts/**" = ["T20"]'),
        "mypy override": at_end(
            "", "[[tool.mypy.overrides]]", 'module = "boto3.*"', "ignore_missing_imports = true"
        ),
        "checked folder": replaced('"migrations", "tests"]', '"migrations", "scripts", "tests"]'),
        "pytest marker": inside("markers = [", '    "slow: takes more than a second",'),
        "pytest option": inside("addopts = [", '    "--strict-markers",'),
        "coverage": replaced('"app/core/*"]', '"app/core/*", "app/legacy/*"]'),
        "tool": at_end("", "[tool.towncrier]", 'directory = "changes"'),
    },
    ".env.example": {
        "settings": at_end("", "# Signs tokens.", "TOKEN_SECRET=", "", "# SENTRY_DSN="),
        "first value": replaced("# DATABASE_POOL_SIZE=10", "DATABASE_POOL_SIZE=20"),
        "value": replaced("# LOG_LEVEL=INFO", "LOG_LEVEL=DEBUG"),
        "explained value": replaced("# BODY_TIMEOUT=30", "BODY_TIMEOUT=60"),
        "last value": replaced("# MAX_BODY_SIZE=1048576", "MAX_BODY_SIZE=52428800"),
    },
    ".github/workflows/ci.yml": {
        "first step": after("steps:", "      - run: df --human-readable", ""),
        "step between": before("- run: uvx pre-commit", "      - run: sudo apt-get install jq", ""),
        "last step": at_end("", "      - uses: codecov/codecov-action@v5"),
        "changed step": replaced("uv run pytest", "uv run pytest --maxfail=1"),
        "changed installation": replaced("sync --locked", "sync --locked --all-extras"),
        "job": at_end(
            "", "  deploy:", "    runs-on: ubuntu-latest", "    steps:", "      - run: ./deploy"
        ),
        "environment": before("jobs:", "env:", "  TZ: Europe/Vienna", ""),
        "environment of the job": in_job_environment,
        "trigger": after("pull_request:", "  workflow_dispatch:"),
        "branch": replaced("branches: [main]", "branches: [main, next]"),
    },
    ".gitignore": {
        "lines": at_end("", "node_modules/", "*.pem"),
    },
    ".gitattributes": {
        "lines": at_end("*.png binary"),
    },
    ".pre-commit-config.yaml": {
        "hook": at_end(
            "      - id: tests",
            "        name: tests",
            "        language: system",
            "        entry: uv run pytest",
            "        pass_filenames: false",
        ),
        "repository": at_end(
            "  - repo: https://github.com/crate-ci/typos",
            "    rev: v1.40.0",
            "    hooks:",
            "      - id: typos",
        ),
        "changed hook": replaced("ruff check --force-exclude", "ruff check --fix --force-exclude"),
    },
    "AGENTS.md": {
        "section": at_end("", "## Releases", "", "Tag the commit; the pipeline does the rest."),
        "convention": at_end("- Amounts are integers, in cents."),
        "command": before("# Merge later changes", "# Start the worker.", "uv run my-worker"),
        "introduction": replaced("An asynchronous FastAPI service.", "A service for bills."),
    },
}
"""The owner's edits, by file and name."""

CHANGES: dict[str, dict[str, Change]] = {
    "pyproject.toml": {
        "dependency at the start of core": after("core = [", '    "aardvark>=1",'),
        "dependency in the middle of core": before('"pydantic>=', '    "orjson>=3.11",'),
        "dependency at the end of core": inside("core = [", '    "zipstream>=1",'),
        "bumped dependency": replaced("alembic>=1.20", "alembic>=1.21"),
        "first development dependency": after("core-dev = [", '    "dirty-equals>=0.9",'),
        "development dependency in the middle": before('"pytest>=', '    "pyrate>=1",'),
        "last development dependency": inside("core-dev = [", '    "types-pyyaml>=6",'),
        "bumped first development dependency": replaced("httpx2>=2.16", "httpx2>=2.17"),
        "bumped last development dependency": replaced("ruff>=0.17,<0.18", "ruff>=0.18,<0.19"),
        "build backend": replaced("uv_build>=0.13,<0.14", "uv_build>=0.14,<0.15"),
        "oldest Python": replaced('">=3.11"', '">=3.12"'),
        "classifier": after("classifiers = [", '    "Environment :: Web Environment",'),
        "script": after("[project.scripts]", 'core-admin = "app.core.cli:admin"'),
        "table": before("[tool.coverage.run]", "[tool.new]", "value = 1", ""),
        "rule": before('"RET",', '    "PYI",'),
        "ignored rule": replaced('    "D107"', '    "D106",\n    "D107"'),
        "rules for a folder": after(
            "[tool.ruff.lint.per-file-ignores]", '"app/core/**" = ["D100"]'
        ),
        "pytest marker": after("markers = [", '    "also: new",'),
        "pytest option": after("addopts = [", '    "--new-option",'),
        "changed setting": replaced('timezone = "UTC"', 'timezone = "Etc/UTC"'),
    },
    ".env.example": {
        "first setting": before(
            "# Maximum number of connections", "# The name in the log.", "# NAME=service", ""
        ),
        "setting in the middle": before("# DEBUG, INFO", "# Adds a header.", "# TRACE=true", ""),
        "setting before the last": before(
            "# Maximum size of a request body", "# Counts requests.", "# METRICS=true", ""
        ),
        "default": replaced("# DATABASE_LOCK_TIMEOUT=5", "# DATABASE_LOCK_TIMEOUT=10"),
        "first default": replaced("# DATABASE_POOL_SIZE=10", "# DATABASE_POOL_SIZE=15"),
        "last default": replaced("MAX_BODY_SIZE=1048576", "MAX_BODY_SIZE=2097152"),
        "explanation": replaced("Seconds for receiving", "Time limit in seconds for receiving"),
    },
    ".github/workflows/ci.yml": {
        "step after the first": before(f"- run: {INSTALL_UV}", *step("Cache"), ""),
        "step before the last": before("- run: uv run pytest", *step("Audit"), ""),
        "action": replaced("# v6.0.2", "# v7.0.0"),
        "installation": replaced(INSTALL_UV, "pipx install 'uv>=0.14'"),
        "hooks": replaced("pre-commit run --all-files", "prek run --all-files"),
        "time limit": replaced("timeout-minutes: 15", "timeout-minutes: 20"),
        "permission": after("contents: read", "      packages: read"),
        "tests": replaced("uv run pytest", "uv run pytest -n auto"),
    },
    ".gitignore": {
        "first line": lambda text: f".direnv/\n{text}",
        "line": before(".ruff_cache/", ".pyrefly_cache/"),
    },
    ".gitattributes": {
        "first line": lambda text: f"*.svg -diff\n{text}",
    },
    ".pre-commit-config.yaml": {
        "files of a hook": replaced(
            "types_or: [python, pyi]\n      - id: types", "types_or: [python]\n      - id: types"
        ),
        "first hook": before(
            "- id: conflict-markers",
            "      - id: lock",
            "        language: system",
            "        entry: uv lock",
        ),
        "hook": before(
            "- id: types",
            "      - id: spelling",
            "        language: system",
            "        entry: uv run spell",
        ),
        "changed hook": replaced("uv run mypy", "uv run mypy --quiet"),
    },
    "AGENTS.md": {
        "convention": before("- Use `ReadSessionDep`", "- Lists have a limit."),
        "changed convention": replaced(
            "handlers and dependencies that only read", "all handlers that only read"
        ),
        "command": before("# Write a migration", "# Measure.", "uv run measure"),
        "changed command": replaced("uv run pytest\n", "uv run pytest -n auto\n"),
        "introduction": replaced("explains it in full", "explains it"),
        "sentence": replaced("A change is finished when", "A change is complete when"),
    },
}
"""The release's changes, by file and name."""

SAME_LINE = "on the same line"
NEXT_LINE = "on adjacent lines"
"""Git takes changes of adjacent lines for one."""
CONFLICTS: dict[str, dict[tuple[str, str], str]] = {
    ".env.example": {
        ("first value", "first default"): SAME_LINE,
        ("last value", "last default"): SAME_LINE,
        # The owner who sets a value should read what has become of its explanation.
        ("explained value", "explanation"): NEXT_LINE,
        # A last line of the template's would conflict with what owners added since 0.8.
        ("settings", "last default"): NEXT_LINE,
    },
    ".github/workflows/ci.yml": {
        ("changed step", "tests"): SAME_LINE,
        ("environment of the job", "time limit"): NEXT_LINE,
        # Names of steps would separate them, but conflict with each step added since 0.8.
        ("first step", "action"): NEXT_LINE,
        ("step between", "hooks"): NEXT_LINE,
        ("changed step", "step before the last"): NEXT_LINE,
        ("last step", "tests"): NEXT_LINE,
        ("job", "tests"): NEXT_LINE,
    },
    # In the order of pre-commit's documentation, `language` would be between the two lines. Moving
    # it would conflict with each hook that an owner has changed.
    ".pre-commit-config.yaml": {("changed hook", "files of a hook"): NEXT_LINE},
    "AGENTS.md": {("introduction", "introduction"): SAME_LINE},
}
"""The conflicts that remain: by file, the edit, the change and the reason."""

ALL = "all"
"""Name of all edits, or changes, that do not conflict, made at once."""


def with_all(path: str, named: dict[str, Change], side: int) -> dict[str, Change]:
    """Add the combination of those that are in no conflict, except dependencies added twice."""
    excluded = {pair[side] for pair in CONFLICTS.get(path, {})}
    twice = {
        "dependency before the own name",
        "dependency next to the own name",
        "dependency after the own name",
        "development dependency",
    }
    return named | {
        ALL: combined(*(made for name, made in named.items() if name not in excluded | twice))
    }


@pytest.mark.parametrize("path", EDITS)
def test_typical_edits_do_not_conflict(
    path: str, rendered: Callable[[Combination], Path], tmp_path: Path, say: Say
) -> None:
    """Each edit with each change, on each database; only the listed ones conflict."""
    texts = {
        (rendered(combination) / path).read_text(encoding="utf-8")
        for combination in first_of_each_database()
    }
    trials: list[Trial] = []
    made: dict[str, Change] = {}
    for text in sorted(texts):
        tables = in_each_table(text) if path == "pyproject.toml" else {}
        changes = with_all(path, CHANGES[path] | tables, 1)
        theirs = {name: change(text) for name, change in changes.items()}
        for edit, make in with_all(path, EDITS[path], 0).items():
            ours = make(text)
            trials += [Trial(path, edit, name, text, ours, theirs[name]) for name in changes]
        made |= changes

    merged = merge_all(trials, tmp_path)

    assert [(each.trial.edit, each.trial.change, each.lost) for each in merged if each.lost] == []
    found = [(each.trial.edit, each.trial.change) for each in merged if each.conflict]
    assert set(found) == CONFLICTS.get(path, {}).keys()
    for each in merged:
        if not each.conflict:
            # The merge gives what the release would have written into the owner's file.
            assert each.text == made[each.trial.change](each.trial.ours), each.trial
        if each.trial.edit == each.trial.change == ALL:
            check_syntax(path, each.text)
    reasons = [CONFLICTS[path][pair] for pair in found]
    listed = [f"{reasons.count(reason)} {reason}" for reason in sorted(set(reasons))]
    clean = f"{len(merged) - len(found)} of {len(merged)} without conflict"
    say(f"typical edits of {path}: {', '.join([clean, *listed])}")


def check_syntax(path: str, text: str) -> None:
    """Parse a file, if it is TOML or YAML."""
    if path.endswith(".toml"):
        tomllib.loads(text)
    elif path.endswith((".yml", ".yaml")):
        yaml.safe_load(text)


def test_readme_is_the_owners_and_the_manual_the_templates(
    template: Template, rendered: Callable[[Combination], Path], tmp_path: Path
) -> None:
    """A rewritten README stays as it is, and the manual is updated."""
    render = rendered(first_of("sqlite"))
    for folder in ("service", "base", "new"):
        (tmp_path / folder).mkdir()
        for path in (".copier-answers.yml", "README.md", MANUAL):
            (tmp_path / folder / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / path).write_text((render / path).read_text("utf-8"), "utf-8")
    begin(tmp_path / "service")
    (tmp_path / "service" / "README.md").write_text("# Bills\n\nSends bills.\n", "utf-8")
    save(tmp_path / "service")
    for path in ("README.md", MANUAL):
        file = tmp_path / "new" / path
        file.write_text(at_end("", "A new paragraph.")(file.read_text("utf-8")), "utf-8")
    with cloned(str(template.path)) as clone:
        owned = clone.rendered_once(template.tag, {})
    for folder in ("base", "new"):
        move_out(owned, tmp_path / folder, tmp_path / f"{folder}-owned")
    before_update = read(tmp_path / "service")

    plan = merge(Service(tmp_path / "service"), tmp_path / "base", tmp_path / "new", owned)

    assert plan.conflicts == {}
    assert plan.changes == {MANUAL: "M"}
    readme = git(tmp_path / "service", "show", f"{plan.after}:README.md")
    assert readme == before_update["README.md"]
    assert git(tmp_path / "service", "show", f"{plan.after}:{MANUAL}").endswith("paragraph.\n")


def lists(project: Project) -> tuple[Any, Any, Any, Any]:
    """Return the owner's dependencies, the template's, and those for development."""
    text = (project.path / "pyproject.toml").read_text(encoding="utf-8")
    read_in = tomllib.loads(text)
    groups = read_in["dependency-groups"]
    return (
        read_in["project"]["dependencies"],
        groups["dev"],
        read_in["project"]["optional-dependencies"]["core"],
        groups["core-dev"],
    )


def test_uv_adds_dependencies_to_the_owners_lists(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    """The lists of the template stay as they are; the lock file is current, and the wheel works."""
    # Not a shared environment, because its dependencies change.
    project = replace(make_project(tmp_path / "service", first_of("sqlite")), environments=None)
    text = (project.path / "pyproject.toml").read_text(encoding="utf-8")
    *_, core, core_dev = lists(project)

    project.run("uv", "add", "itsdangerous>=2.2", "tabulate>=0.9")
    project.run("uv", "add", "--dev", "asgi-lifespan>=2.1")

    own = ["itsdangerous>=2.2", "my-service[core]", "tabulate>=0.9"]
    dev = [{"include-group": "core-dev"}, "asgi-lifespan>=2.1"]
    assert lists(project) == (own, dev, core, core_dev)
    # The trials above use the same command without a lock file.
    simulated = combined(
        uv_add("itsdangerous>=2.2", "tabulate>=0.9"), uv_add("--dev", "asgi-lifespan>=2.1")
    )
    assert (project.path / "pyproject.toml").read_text(encoding="utf-8") == simulated(text)
    project.run("uv", "sync", "--locked")
    project.uv_run("python", "-c", "import app.main, asgi_lifespan, itsdangerous, pytest, tabulate")
    project.run("uv", "sync", "--locked", "--no-dev")
    without = project.run("uv", "pip", "freeze").stdout
    assert "itsdangerous" in without
    assert "asgi-lifespan" not in without
    project.run("uv", "build")
    (wheel,) = (project.path / "dist").glob("*.whl")
    with ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        fields = Parser().parsestr(archive.read(metadata).decode())
    required = fields.get_all("Requires-Dist", [])
    assert set(own) <= set(required)
    assert len([each for each in required if "extra == 'core'" in each]) == len(core)
