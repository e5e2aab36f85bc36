"""Commands in documentation and messages, and in a service's workflow."""

import os
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import programs
from support.ci_files import INSTALL_UV
from support.databases import DatabaseServer
from support.projects import DEPLOYMENT_MANUAL, MANUAL, Project
from support.questions import (
    INCLUDES,
    Combination,
    first_of_each_database,
    read_questions,
    with_computed,
)
from support.rendering import commit
from support.results import stage
from support.root import ROOT

DATABASES = pytest.mark.parametrize("combination", first_of_each_database(), ids=str)

DONE_HERE = {
    INSTALL_UV: "uv runs this suite",
}
"""Workflow steps that are not run, with the reason."""

EXPRESSIONS = {"${{ github.event.pull_request.base.sha }}": ""}
"""Expressions of GitHub in the environment of a step, and their values after a push."""


@pytest.mark.needs_server
@DATABASES
def test_service_workflow_runs(
    combination: Combination,
    make_project: Callable[..., Project],
    servers: Callable[[Combination], DatabaseServer],
    tmp_path: Path,
) -> None:
    """Each command of the workflow works, including pre-commit's hooks."""
    project = make_project(tmp_path / "service", combination)
    if combination.database == "sqlite":
        # Once with the project's own environment, as users have it.
        project = replace(project, environments=None)
    project.git("init", "--quiet")
    project.run("uv", "lock")
    commit(project.path, "v1.0.0")
    text = (project.path / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    job = yaml.safe_load(text)["jobs"]["check"]
    # The hooks also need uv.
    env = {"PATH": os.pathsep.join([str(Path(programs.uv()).parent), os.environ["PATH"]])}
    for name, value in job.get("env", {}).items():
        assert name == "TEST_DATABASE_URL", f"Specify how to replace {name}."
        assert str(value).startswith(servers(combination).url.partition("://")[0])
        env[name] = servers(combination).url
    assert set(job.get("services", {})) == ({"mariadb"} if "env" in job else set())
    ran = []
    for step in job["steps"]:
        if "run" not in step:
            assert step["uses"].startswith("actions/checkout@"), f"Unknown action in {step}."
        elif step["run"] not in DONE_HERE:
            with stage(step["run"]):
                since = {name: EXPRESSIONS[value] for name, value in step.get("env", {}).items()}
                options = ["-o", "pipefail"] if step.get("shell") == "bash" else []
                project.run("bash", "-e", *options, "-c", step["run"], env=env | since)
            ran.append(step["run"])
    assert all("|" not in step["run"] or "shell" in step for step in job["steps"] if "run" in step)
    migrations = "uv run python -m tests.core.new_migrations $SINCE"
    if combination.database == "postgresql":
        migrations += " | uv run squawk"
    checks = ["uvx pre-commit run --all-files", "uv run pytest"]
    assert ran == ["uv sync --locked", migrations, *checks]


PLACEHOLDERS = {
    "<address of this repository>": "ADDRESS",
    "<folder>": "FOLDER",
    "<feature>": "songs",
    "<file>": "README.md",
    "<slug>": "my-service",
    "<name>": "my-service",
}
"""Placeholders in commands, and test values for them."""

BLOCK = re.compile(r"^```sh\n(.+?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}(?=\S)(.+)$", re.MULTILINE)
"""A command in a message, which is not Markdown."""
INLINE = re.compile(r"`((?:uv|uvx|git|cp|cd|copier|prewired|\.ci/run)(?: [^`]+)?)`")


def commands_in(text: str) -> Iterator[str]:
    """Yield the commands in code blocks and text, one by one and without comments."""
    for placeholder, value in PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    blocks = BLOCK.findall(text)
    outside = BLOCK.sub("", text)
    lines = "".join(blocks).splitlines() if blocks else INDENTED.findall(text)
    for line in [*lines, *INLINE.findall(outside.replace("\n", " "))]:
        for command in re.split(r"&&|\|", re.split(r"\s+# ", line)[0]):
            if command.strip() and not command.strip().startswith("#"):
                yield " ".join(command.split())


SETS = re.compile(r"^(?:export )?(?:[A-Z_]+=\S+ ?)+")


def fault(command: str, project: Project, inside: Path) -> str | None:
    """Return what is wrong with a command, or None.

    Args:
        command: the command as typed.
        project: provides the programs for `uv run`.
        inside: the working directory.
    """
    command = SETS.sub("", command)
    match shlex.split(command.replace(".venv-uv/bin/", "")):
        case []:
            return None
        case ["uv", "run", *rest]:
            return _fault_of_run([each for each in rest if each != "--no-dev"], project, inside)
        case ["uv", "sync", *options]:
            return None if set(options) <= {"--no-dev", "--locked"} else "unknown option of uv sync"
        case ["uvx", "--from", _, "prewired", command, *options]:
            module = (ROOT / "prewired" / "cli.py").read_text(encoding="utf-8")
            if f"def {command}(" not in module:
                return f"no command prewired {command}"
            return _fault_of_copier(["copy", *options], project)
        case ["uvx", "copier", *rest] | ["copier", *rest]:
            return _fault_of_copier(rest, project)
        case ["prewired", command, *options]:
            whole = shlex.join(["uvx", "--from", "ADDRESS", "prewired", command, *options])
            return fault(whole, project, inside)
        case ["uv", "lock" | "add" | "build"]:
            return None
        case ["uvx", "pre-commit", "install"] | ["python3", "-m", "venv", _]:
            return None
        case (
            ["prewired"] | ["pip", "install", "-q", "uv"] | ["uv"] | ["uvx"] | ["git"] | ["copier"]
        ):
            return None
        case ["cd", folder]:
            known = {"my-service", "../my-service", "FOLDER"}
            return None if folder in known or (inside / folder).exists() else "no such folder"
        case ["cp", source, ".env"]:
            return None if (inside / source).exists() else f"no file {source}"
        case ["git", "init" | "status" | "diff" | "show" | "checkout" | "reset", *_]:
            return None
        case ["git", "fetch", "--unshallow"]:
            return None
        case [".ci/run", *options]:
            return _fault_of_pytest(options, ROOT)
        case _:
            return "tests/test_commands.py cannot check this command"


def _fault_of_run(words: list[str], project: Project, inside: Path) -> str | None:
    if words[:3] == ["--with", "pytest-cov", "pytest"]:
        words = ["pytest", *(word for word in words[3:] if word != "--cov")]
    program, *arguments = words
    match program:
        case "pytest":
            return _fault_of_pytest(arguments, inside)
        case "copier":
            return _fault_of_copier(arguments, project)
        case "ruff":
            return None if arguments[0] in ("check", "format") else "unknown ruff command"
        case "mypy" | "squawk":
            return None
        case "python":
            module = inside / f"{arguments[-1].replace('.', '/')}.py"
            return None if module.exists() else f"no module {arguments[-1]}"
        case "pre-commit":
            return None if arguments == ["install"] else "unknown pre-commit command"
        case _ if program.startswith("tools/"):
            if not (ROOT / program).exists():
                return f"no file {program}"
            text = (ROOT / program).read_text(encoding="utf-8")
            unknown = [each for each in arguments if each.startswith("--") and each not in text]
            return f"no option {', '.join(unknown)}" if unknown else None
    known = program in ("fastapi", "alembic") or program == project.slug
    if not known:
        return f"no program {program}"
    asked = [each for each in arguments if not each.startswith("-") and each != "..."]
    subcommands = asked[:2] if asked[:1] == ["db"] else asked[:1]
    options = [each for each in arguments if each.startswith("-")]
    helped = project.uv_run(program, *subcommands, "--help", check=False)
    if helped.exit_code:
        return f"no command {program} {' '.join(subcommands)}"
    unknown = [option for option in options if not re.search(rf"{option}\b", helped.output)]
    return f"no option {', '.join(unknown)}" if unknown else None


def _fault_of_copier(words: list[str], project: Project) -> str | None:
    command = words[0] if words else ""
    if command not in ("", "copy", "update", "check-update", "recopy"):
        return f"copier has no command {command}"
    known = {"--defaults", "--data", "--vcs-ref", "--exclude", "--trust"}
    unknown = {word for word in words if word.startswith("--")} - known
    if unknown:
        return f"unknown option {', '.join(sorted(unknown))}"
    data = [after for word, after in pairwise(words) if word == "--data"]
    wrong = [each for each in data if each.partition("=")[0] not in read_questions()]
    files = [after for word, after in pairwise(words) if word == "--exclude"]
    wrong += [each for each in files if not (project.path / each).exists()]
    return f"no question or file {', '.join(wrong)}" if wrong else None


def _fault_of_pytest(words: list[str], inside: Path) -> str | None:
    known = {"-k", "-n", "--database", "--shard", "--require-all", "--require-pythons", "-x"}
    unknown = {word for word in words if word.startswith("-")} - known
    if unknown:
        return f"unknown option {', '.join(sorted(unknown))}"
    paths = [word.partition("::")[0] for word in words if word.startswith("tests/")]
    missing = [path for path in paths if not (inside / path).exists()]
    return f"no file {', '.join(missing)}" if missing else None


def faults(text: str, project: Project, inside: Path) -> dict[str, str]:
    """Return the invalid commands in a text, with what is wrong with each."""
    found = {command: fault(command, project, inside) for command in commands_in(text)}
    assert found, "No commands found."
    return {command: wrong for command, wrong in found.items() if wrong}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_repository_commands_are_valid(
    name: str, kept_projects: Callable[[Combination], Project]
) -> None:
    """Copied commands work."""
    project = kept_projects(first_of_each_database()[0])
    assert faults((ROOT / name).read_text(encoding="utf-8"), project, ROOT) == {}


@DATABASES
def test_service_readme_commands_are_valid(
    combination: Combination, kept_projects: Callable[[Combination], Project]
) -> None:
    """The commands in a service's README and manual work."""
    project = kept_projects(combination)
    names = ("README.md", "AGENTS.md", MANUAL, DEPLOYMENT_MANUAL)
    text = "\n".join((project.path / name).read_text(encoding="utf-8") for name in names)
    assert len(set(commands_in(text))) > 5
    assert faults(text, project, project.path) == {}


@DATABASES
@pytest.mark.parametrize("name", ["_message_after_copy", "_message_after_update"])
def test_message_commands_are_valid(
    name: str, combination: Combination, kept_projects: Callable[[Combination], Project]
) -> None:
    """The commands in Copier's messages work."""
    settings: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    answers = {**with_computed(combination.answers), "project_slug": "my-service"}
    conf = {"dst_path": "my-service"}
    text = INCLUDES.from_string(settings[name]).render(answers, _copier_conf=conf)
    project = kept_projects(combination)
    assert faults(text, project, project.path) == {}


WRONG = {
    "uv run pytset": "no program pytset",
    "uv run pytest tests/test_none.py": "no file tests/test_none.py",
    "uv run pytest tests/nowhere": "no file tests/nowhere",
    "uv run tools/mutants.py --sede 1": "no option --sede",
    "uv run pytest --databse sqlite": "unknown option --databse",
    "uv run my-service db upgarde": "no command my-service db upgarde",
    "uv run my-service db revision --mesage x": "no option --mesage",
    "uv run fastapi deev": "no command fastapi deev",
    "uv run python -m tests.core.old": "no module tests.core.old",
    "uvx copier upgrade": "copier has no command upgrade",
    "uvx --from ADDRESS prewired upgrade": "no command prewired upgrade",
    "uvx copier copy --default a b": "unknown option --default",
    "uvx copier update --data databse=mysql": "no question or file databse=mysql",
    "cp .env.exmaple .env": "no file .env.exmaple",
    "uv run tools/regenrate.py": "no file tools/regenrate.py",
    ".ci/run --require-al": "unknown option --require-al",
    "git pul": "tests/test_commands.py cannot check this command",
}


@pytest.mark.parametrize("command", WRONG)
def test_wrong_commands_are_detected(
    command: str, kept_projects: Callable[[Combination], Project]
) -> None:
    """Wrong commands are detected in code blocks, inline code and messages."""
    project = kept_projects(first_of_each_database()[0])
    for text in (
        f"```sh\n{command}    # why\n```\n",
        f"Run `{command}`.",
        f"Next:\n\n    {command}\n",
    ):
        assert faults(text, project, project.path) == {command: WRONG[command]}
