"""The checks of .ci/run and the workflows are complete."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import interpreters, programs
from support.programs import Finished
from support.rendering import commit, git
from support.root import ROOT

RUN = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

WORKFLOWS = {
    file.stem: file.read_text(encoding="utf-8")
    for file in (ROOT / ".github" / "workflows").glob("*.yml")
}

CALLS = [
    "uv sync --locked --quiet",
    "uv run ruff format --check",
    "uv run ruff check",
    "uv run mypy",
    "uv run pytest --require-all --shard 1/3",
]

PACKAGES = {
    "mariadbd": "mariadb-server",
    "pgbouncer": "pgbouncer",
    "haproxy": "haproxy",
    "chromium": "chromium",
    "podman": "podman crun catatonit netavark aardvark-dns iptables",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "php": "adminer",
    "pg_ctlcluster": "postgresql",
}
"""The programs that .ci/run looks for, and the packages that it installs."""

THERE = ("uv", *PACKAGES)


def steps(workflow: str, job: str) -> list[dict[str, Any]]:
    """Return the steps of a workflow job."""
    found: list[dict[str, Any]] = yaml.safe_load(workflow)["jobs"][job]["steps"]
    return found


def play(
    script: str, folder: Path, *programs_there: str, fails: str = ""
) -> tuple[Finished, list[str]]:
    """Run .ci/run with fake programs that log their calls, and return the calls.

    Args:
        script: the text of .ci/run.
        folder: an empty folder.
        programs_there: programs on PATH besides the shell's own tools.
        fails: a call that fails.
    """
    log = folder / "log"
    (folder / "bin").mkdir()
    for name in programs_there:
        file = folder / "bin" / name
        fake = f'#!/bin/sh\necho "{name} $*" >> "{log}"\n[ "{name} $*" != "{fails}" ]\n'
        file.write_text(fake, encoding="utf-8")
        file.chmod(0o755)
    for name in ("bash", "dirname", "id", "env", "tee", "chmod", "rm", "mv"):
        (folder / "bin" / name).symlink_to(programs.found(name))
    file = folder / ".ci" / "run"
    file.parent.mkdir()
    # Exclude the machine's own servers and policy.
    text = script.replace(":/usr/local/sbin:/usr/sbin", "").replace("/usr/sbin/", f"{folder}/")
    file.write_text(text, encoding="utf-8")
    finished = programs.run(
        *(str(folder / "bin" / "bash"), str(file), "--shard", "1/3"),
        cwd=folder,
        env={"PATH": str(folder / "bin")},
        check=False,
    )
    return finished, log.read_text(encoding="utf-8").splitlines()


def everything_is_run(script: str, folder: Path) -> None:
    """Check that .ci/run lints, type-checks, and tests, in this order."""
    finished, calls = play(script, folder, *THERE)
    assert finished.exit_code == 0, finished.report()
    assert calls == CALLS


def test_run_checks_everything(tmp_path: Path) -> None:
    """The tests run with the README's command."""
    everything_is_run(RUN, tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "uv run pytest\n```" in readme


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--require-all", "--require-al"),
        ('"$uv" run ruff check\n', ""),
        ('"$uv" run mypy', "true"),
        ('"$uv" run ruff format --check', '"$uv" run ruff format'),
        (' "$@"\n', "\n"),
        ("--locked", "--frozen"),
    ],
)
def test_missing_steps_are_detected(old: str, new: str, tmp_path: Path) -> None:
    """`everything_is_run` detects missing steps."""
    assert old in RUN
    with pytest.raises(AssertionError):
        everything_is_run(RUN.replace(old, new), tmp_path)


@pytest.mark.parametrize("call", CALLS)
def test_run_stops_at_first_failure(call: str, tmp_path: Path) -> None:
    """The exit code reports the failure."""
    finished, calls = play(RUN, tmp_path, *THERE, fails=call)
    assert finished.exit_code != 0
    assert calls == CALLS[: CALLS.index(call) + 1]


def test_run_installs_missing_programs(tmp_path: Path) -> None:
    """Packages provide the servers, and start none during installation."""
    finished, calls = play(RUN, tmp_path, "uv", "apt-get", "sudo")
    assert finished.exit_code == 0, finished.report()
    assert calls[-len(CALLS) :] == CALLS
    (install,) = (call for call in calls if "install" in call)
    assert install.endswith(" ".join(PACKAGES.values()))
    assert not (tmp_path / "policy-rc.d").exists()


def shards_are_complete(text: str) -> None:
    """Check that the shards add up to the whole suite, with every Python version offered."""
    workflow = yaml.safe_load(text)
    assert workflow[True] == {"push": {"branches": ["main"]}, "pull_request": None}
    job = workflow["jobs"]["check"]
    shards = job["strategy"]["matrix"]["shard"]
    assert shards == [f"{part}/{len(shards)}" for part in range(1, len(shards) + 1)]
    commands = [step["run"] for step in steps(text, "check") if "run" in step]
    versions = " ".join(interpreters.WANTED)
    assert commands == [
        f"pip install --quiet uv && uv python install {versions}",
        ".ci/run --require-pythons --shard ${{ matrix.shard }}",
    ]


def newest_versions_are_tested(text: str) -> None:
    """Check that the nightly run upgrades all tools and runs the full check."""
    upgrade, check = [step["run"] for step in steps(text, "newest") if "run" in step]
    assert upgrade.splitlines()[-1] == ".venv-uv/bin/uv lock --upgrade"
    assert check == ".ci/run"
    (schedule,) = yaml.safe_load(text)[True]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* \*", schedule["cron"])


def releases_follow_green_runs(text: str) -> None:
    """Check that a release follows a successful CI run on main, from the checked commit."""
    workflow = yaml.safe_load(text)
    ci = yaml.safe_load(WORKFLOWS["ci"])["name"]
    trigger = {"workflows": [ci], "branches": ["main"], "types": ["completed"]}
    assert workflow[True] == {"workflow_run": trigger}
    assert workflow["permissions"] == {"contents": "write"}
    job = workflow["jobs"]["release"]
    run = "github.event.workflow_run"
    assert job["if"] == f"{run}.conclusion == 'success' && {run}.event == 'push'"
    checkout, script = job["steps"]
    assert checkout["with"]["ref"] == f"${{{{ {run}.head_sha }}}}"
    assert script["env"] == {"GH_TOKEN": "${{ github.token }}"}


def nothing_is_conditional(text: str) -> None:
    """Check that no job or step is optional; only a release has a condition."""
    for name, job in yaml.safe_load(text)["jobs"].items():
        assert "if" not in job or name == "release"
        for part in (job, *job["steps"]):
            assert "continue-on-error" not in part
        assert [step for step in job["steps"] if "if" in step] == []


def the_history_is_there(text: str) -> None:
    """Check that actions are pinned, and that the Git history is available."""
    uses = [step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    actions = [step["uses"] for step in uses if "uses" in step]
    assert actions
    assert [action for action in actions if not re.search("@[0-9a-f]{40}$", action)] == []
    (checkout,) = (step for step in uses if step.get("uses", "").startswith("actions/checkout@"))
    assert checkout["with"]["fetch-depth"] == 0


Check = Callable[[str], None]

CHECKS: list[tuple[str, Check]] = [
    ("ci", shards_are_complete),
    ("nightly", newest_versions_are_tested),
    ("release", releases_follow_green_runs),
    *((name, the_history_is_there) for name in ("ci", "nightly", "release")),
    *((name, nothing_is_conditional) for name in ("ci", "nightly", "release")),
]


@pytest.mark.parametrize(("workflow", "check"), CHECKS)
def test_workflows_check_everything(workflow: str, check: Check) -> None:
    """The actual workflows pass every check."""
    check(WORKFLOWS[workflow])


@pytest.mark.parametrize(
    ("workflow", "check", "old", "new"),
    [
        ("ci", shards_are_complete, "2/3, ", ""),
        ("ci", shards_are_complete, "3/3", "4/3"),
        ("ci", shards_are_complete, "--require-pythons ", ""),
        ("ci", shards_are_complete, " --shard ${{ matrix.shard }}", ""),
        ("ci", shards_are_complete, " 3.12", ""),
        ("nightly", newest_versions_are_tested, "run: .ci/run", "run: echo .ci/run"),
        ("nightly", newest_versions_are_tested, "lock --upgrade", "lock"),
        ("nightly", newest_versions_are_tested, ".venv-uv/bin/uv lock", "echo uv lock"),
        ("nightly", newest_versions_are_tested, "3 * * *", "3 31 2 *"),
        ("ci", shards_are_complete, "branches: [main]", "branches: [master]"),
        ("ci", shards_are_complete, "  pull_request:\n", ""),
        ("ci", nothing_is_conditional, "- run: .ci", "- continue-on-error: true\n        run: .ci"),
        ("nightly", nothing_is_conditional, "    runs-on:", "    if: false\n    runs-on:"),
        ("release", releases_follow_green_runs, "[CI]", "[Check]"),
        ("release", releases_follow_green_runs, "'success'", "'failure'"),
        ("release", releases_follow_green_runs, "head_sha", "head_branch"),
        ("release", releases_follow_green_runs, "contents: write", "contents: read"),
        ("release", releases_follow_green_runs, "GH_TOKEN", "TOKEN"),
        ("release", the_history_is_there, "fetch-depth: 0", "fetch-depth: 1"),
        ("ci", the_history_is_there, "@de0fac2e4500dabe0009e67214ff5f5447ce83dd", "@v6"),
    ],
)
def test_broken_workflows_are_detected(workflow: str, check: Check, old: str, new: str) -> None:
    """The workflow checks detect faults."""
    assert old in WORKFLOWS[workflow]
    with pytest.raises((AssertionError, ValueError)):
        check(WORKFLOWS[workflow].replace(old, new))


def test_every_workflow_is_checked() -> None:
    """New workflows must be checked, too."""
    assert {name for name, _ in CHECKS} == WORKFLOWS.keys()


def release(repository: Path) -> Finished:
    """Run the release script with fakes of `gh` and `pipx`, which log their arguments."""
    (script,) = (step["run"] for step in steps(WORKFLOWS["release"], "release") if "run" in step)
    folder = repository.with_name("bin")
    folder.mkdir(exist_ok=True)
    for name in ("gh", "pipx"):
        fake = f'#!/bin/sh\nprintf "%s|" "$@" > {name}.log\ngit rev-parse HEAD > {name}.commit\n'
        (folder / name).write_text(fake, encoding="utf-8")
        (folder / name).chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    env = programs.environment(PATH=path, GITHUB_REPOSITORY="us/prewired")
    return programs.run("bash", "-e", "-c", script, cwd=repository, env=env, check=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a release, and a later commit on the next version."""
    folder = tmp_path / "repository"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(folder))
    changelog = folder / "CHANGELOG.md"
    for number, version in enumerate(("1.0.0", "1.1.0", "1.1.0")):
        (folder / "pyproject.toml").write_text(f'version = "{version}"\n', encoding="utf-8")
        changelog.write_text(
            "# Changelog\n\n## [1.1.0] - 2026-01-02\n\n### Added\n\n- New.\n\n"
            f"## [1.0.0] - 2026-01-01\n\n- Old.\n{number}\n",
            encoding="utf-8",
        )
        commit(folder, f"commit-{number}")
    return folder


def test_new_version_is_released(repository: Path) -> None:
    """The tag is on the first commit with the version, and the notes are its changelog section."""
    assert release(repository).exit_code == 0

    told = (repository / "gh.log").read_text(encoding="utf-8").split("|")
    target = git(repository, "rev-parse", "commit-1").strip()
    options = ["--target", target, "--title", "1.1.0", "--notes-file", "notes.md"]
    assert told[:-1] == ["release", "create", "v1.1.0", "prewired.html", *options]
    notes = (repository / "notes.md").read_text(encoding="utf-8")
    assert notes.split() == ["###", "Added", "-", "New."]


def test_page_of_the_released_commit_is_attached(repository: Path) -> None:
    """The page is built from the commit that the tag gets, with the repository's address."""
    assert release(repository).exit_code == 0

    built = (repository / "pipx.log").read_text(encoding="utf-8").split("|")
    arguments = ["tools/page.py", "prewired.html", "--address", "https://github.com/us/prewired"]
    assert built[:-1] == ["run", "uv", "run", "--locked", *arguments]
    assert (ROOT / "tools" / "page.py").exists()
    commit_of_page = (repository / "pipx.commit").read_text(encoding="utf-8")
    assert commit_of_page == git(repository, "rev-parse", "commit-1")


def test_version_is_released_once(repository: Path) -> None:
    """Later pushes of the same version release nothing."""
    git(repository, "tag", "v1.1.0", "commit-1")

    assert release(repository).exit_code == 0

    assert not (repository / "gh.log").exists()


def test_release_requires_changelog_section(repository: Path) -> None:
    """Nothing is released without release notes."""
    (repository / "CHANGELOG.md").write_text("# Changelog\n", encoding="utf-8")

    refused = release(repository)

    assert refused.exit_code == 1
    assert 'no section "## [1.1.0]"' in refused.output
    assert not (repository / "gh.log").exists()
