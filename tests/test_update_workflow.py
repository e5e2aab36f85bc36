"""The workflow that updates a service: run with a bare repository as `origin` and a fake `gh`."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from prewired.project import ANSWERS
from prewired.template import render as render_from
from support import programs
from support.ci_files import INSTALL_UV
from support.personas import begin, save
from support.programs import Finished, environment
from support.releases import SYNTHETIC, History
from support.rendering import Renders, git, once, quick_copier
from support.root import ROOT

WORKFLOW = Path(".github", "workflows", "update.yml")
BRANCH = "template-update"
BOT = "github-actions[bot]@users.noreply.github.com"
UPDATED = {ANSWERS, "app/core/README.md", "app/core/limits.py", "tests/core/test_settings.py"}
"""The files that differ between the synthetic release and the newest."""

EXPRESSIONS = {
    "${{ secrets.UPDATE_TOKEN || github.token }}": "secret",
}
"""Expressions of GitHub in the environment of a step, and test values for them."""

GH = f"""#!{sys.executable}
import json, os, pathlib, re, sys

arguments = sys.argv[1:]
state = pathlib.Path(os.environ["GH_STATE"])
forbidden = (state / "forbidden").exists()
if not os.environ.get("GH_TOKEN"):
    sys.exit("gh: set the GH_TOKEN environment variable")


def option(name):
    return arguments[arguments.index(name) + 1]


if arguments[1] == "list":
    # All are open, and have the title or the branch that was asked for.
    assert (option("--json"), option("--jq")) == ("number", ".[].number")
    if arguments[0] == "pr":
        assert option("--head") == {BRANCH!r}
    else:
        title = re.fullmatch('in:title "([^":]+)"', option("--search"))[1]
    for file in sorted(state.glob(f"{{arguments[0]}}-*")):
        if arguments[0] == "pr" or json.loads(file.read_text())["title"] == title:
            print(file.name.partition("-")[2])
elif arguments[1] == "create":
    if forbidden:
        sys.exit("GitHub Actions is not permitted to create or approve pull requests")
    assert option("--body-file") == "-"
    number = len([*state.glob("pr-*"), *state.glob("issue-*")]) + 1
    created = {{name.strip("-"): option(name) for name in arguments if name.startswith("--")}}
    text = json.dumps({{**created, "body": sys.stdin.read()}})
    (state / f"{{arguments[0]}}-{{number}}").write_text(text)
else:
    assert arguments[0] == "api"
    assert (option("--method"), option("--field")) == ("PATCH", "body=@-")
    path = next(argument for argument in arguments if "/" in argument)
    number = re.fullmatch("repos/{{owner}}/{{repo}}/issues/([0-9]+)", path)[1]
    (file,) = state.glob(f"*-{{number}}")
    file.write_text(json.dumps({{**json.loads(file.read_text()), "body": sys.stdin.read()}}))
"""
"""Knows the calls of the workflow, and keeps issues and pull requests as files."""


@dataclass(frozen=True)
class GitHub:
    """A service's repository with its issues and pull requests."""

    folder: Path

    @property
    def origin(self) -> Path:
        """The bare repository."""
        return self.folder / "origin.git"

    @property
    def state(self) -> Path:
        """The folder with the issues and pull requests."""
        return self.folder / "state"

    def opened(self, kind: str) -> list[dict[str, str]]:
        """Return the open issues (`issue`) or pull requests (`pr`)."""
        return [json.loads(file.read_text()) for file in sorted(self.state.glob(f"{kind}-*"))]

    def branches(self) -> dict[str, str]:
        """Return the commit of each branch."""
        lines = git(self.origin, "show-ref", "--heads").splitlines()
        return {name.removeprefix("refs/heads/"): sha for sha, name in map(str.split, lines)}

    def changed(self) -> set[str]:
        """Return the files that the branch of the update changes, in one commit."""
        assert git(self.origin, "rev-parse", f"{BRANCH}~1") == git(self.origin, "rev-parse", "main")
        return set(git(self.origin, "diff", "--name-only", "main", BRANCH).split())

    def push(
        self,
        change: Callable[[Path], object],
        branch: str = "main",
        commit: Callable[[Path], object] = save,
    ) -> None:
        """Commit a change of the owner, and push it."""
        clone = self._clone(branch)
        change(clone)
        commit(clone)
        git(clone, "push", "--quiet", "--force", "origin", branch)

    def run(self) -> Finished:
        """Run the workflow, and return the step that ended it."""
        clone = self._clone("main")
        (self.folder / "temporary").mkdir(exist_ok=True)
        env = {
            "PATH": os.pathsep.join(
                [str(self.folder / "bin"), str(Path(programs.uv()).parent), environment()["PATH"]]
            ),
            "RUNNER_TEMP": str(self.folder / "temporary"),
            "GH_STATE": str(self.state),
            "GITHUB_ACTIONS": "true",
            "GITHUB_REF_NAME": "main",
            # The cache is shared by everything that this user renders from the same address.
            "COPIER_CACHE_DIR": str(self.folder / "cache"),
        }
        for step in steps_of(clone):
            if "uses" in step:
                assert step["uses"].startswith("actions/checkout@"), f"Unknown action in {step}."
                # Otherwise, clone accordingly.
                assert step["with"].keys() == {"persist-credentials", "token"}
            elif step["run"] != INSTALL_UV:  # uv runs this suite
                # GitHub runs a step without `shell` like this, in particular without `pipefail`.
                finished = programs.run(
                    *("bash", "-e", "-c", step["run"]),
                    cwd=clone,
                    env=environment(**env, **values(step.get("env", {}))),
                    check=False,
                )
                if finished.exit_code:
                    break
        return finished

    def _clone(self, branch: str) -> Path:
        """Clone like `actions/checkout`: one commit of one branch."""
        clone = self.folder / "clone"
        shutil.rmtree(clone, ignore_errors=True)
        options = ["--quiet", "--depth=1", f"--branch={branch}", self.origin.as_uri()]
        git(self.folder, "clone", *options, str(clone))
        return clone


def steps_of(service: Path) -> list[dict[str, Any]]:
    """Return the steps of the workflow."""
    (job,) = yaml.safe_load((service / WORKFLOW).read_text(encoding="utf-8"))["jobs"].values()
    steps: list[dict[str, Any]] = job["steps"]
    return steps


def values(env: dict[str, str]) -> dict[str, str]:
    """Return the environment of a step with test values in place of GitHub's expressions."""
    return {name: EXPRESSIONS[value] for name, value in env.items()}


@pytest.fixture(scope="session")
def service(history: History, shared_folder: Path) -> Path:
    """A service of an older release, from a template with a URL."""

    def make(folder: Path) -> None:
        with quick_copier(), pytest.MonkeyPatch.context() as patch:
            patch.setenv("COPIER_CACHE_DIR", str(folder.with_name("cache")))
            render_from(f"git+file://{history.path}", SYNTHETIC, folder, {})

    return once(shared_folder / "with-update-workflow", make)


@pytest.fixture(scope="session")
def before(service: Path, shared_folder: Path) -> Path:
    """The folder of the service's repository on GitHub."""

    def make(folder: Path) -> None:
        project = Path(shutil.copytree(service, folder / "project"))
        begin(project)
        found = GitHub(folder)
        git(folder, "clone", "--quiet", "--bare", str(project), str(found.origin))
        found.state.mkdir()
        (folder / "bin").mkdir()
        (folder / "bin" / "gh").write_text(GH, encoding="utf-8")
        (folder / "bin" / "gh").chmod(0o755)

    return once(shared_folder / "github", make)


@pytest.fixture(scope="session")
def after(before: Path, shared_folder: Path) -> Path:
    """The same after the workflow has run."""

    def make(folder: Path) -> None:
        shutil.copytree(before, folder)
        finished = GitHub(folder).run()
        assert finished.exit_code == 0, finished.report()

    return once(shared_folder / "github-with-pull-request", make)


@pytest.fixture
def github(before: Path, tmp_path: Path) -> GitHub:
    """The service's repository on GitHub, for one test."""
    return GitHub(Path(shutil.copytree(before, tmp_path / "github")))


@pytest.fixture
def with_pull_request(after: Path, tmp_path: Path) -> GitHub:
    """The same, with an open pull request."""
    return GitHub(Path(shutil.copytree(after, tmp_path / "github")))


def test_update_becomes_a_pull_request(before: Path, with_pull_request: GitHub) -> None:
    """Its branch is one commit on top of main, and its text says what changes."""
    github = with_pull_request

    assert github.branches().keys() == {"main", BRANCH}
    assert github.branches()["main"] == GitHub(before).branches()["main"]
    assert github.changed() == UPDATED
    assert git(github.origin, "log", "-1", "--format=%ae %ce", BRANCH).split() == [BOT, BOT]
    (opened,) = github.opened("pr")
    assert (opened["head"], opened["base"]) == (BRANCH, "main")
    assert "# Breaking changes" in opened["body"]
    assert "changed   app/core/limits.py" in opened["body"]
    assert github.opened("issue") == []


def test_lock_file_is_updated(github: GitHub) -> None:
    """CI installs from it."""
    empty = 'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n'
    github.push(lambda folder: (folder / "uv.lock").write_text(empty))

    finished = github.run()

    assert finished.exit_code == 0, finished.report()
    assert github.changed() == UPDATED | {"uv.lock"}
    assert '\nname = "fastapi"\n' in git(github.origin, "show", f"{BRANCH}:uv.lock")


def test_open_pull_request_is_replaced(with_pull_request: GitHub) -> None:
    """The branch is on top of the newest main, and the text is that of the newest update."""
    github = with_pull_request
    first = github.branches()[BRANCH]
    github.push(lambda folder: (folder / "app" / "core" / "limits.py").unlink())

    finished = github.run()

    assert finished.exit_code == 0, finished.report()
    assert github.branches()[BRANCH] != first
    assert github.changed() == UPDATED - {"app/core/limits.py"}
    (opened,) = github.opened("pr")
    assert "app/core/limits.py stays deleted" in opened["body"]


def amend(folder: Path) -> None:
    """Change the last commit, which keeps its author."""
    git(folder, "commit", "--quiet", "--all", "--amend", "--no-edit")


@pytest.mark.parametrize("commit", [save, amend])
def test_owners_commits_on_the_branch_are_kept(
    with_pull_request: GitHub, commit: Callable[[Path], object]
) -> None:
    """They can be the manual steps of a breaking change."""
    github = with_pull_request
    github.push(lambda folder: (folder / "app" / "main.py").unlink(), BRANCH, commit)
    before = github.branches()

    finished = github.run()

    assert finished.exit_code == 1
    assert "it has commits of yours" in finished.stdout
    assert github.branches() == before
    assert len(github.opened("pr")) == 1


def test_nothing_happens_without_an_update(with_pull_request: GitHub) -> None:
    """The merged branch, which can still exist, is left alone."""
    github = with_pull_request
    git(github.origin, "branch", "--force", "main", BRANCH)
    (file,) = github.state.glob("pr-*")
    file.unlink()
    before = github.branches()

    finished = github.run()

    assert finished.exit_code == 0, finished.report()
    assert "is up to date" in finished.stdout
    assert github.branches() == before
    assert list(github.state.iterdir()) == []


def edit(folder: Path) -> None:
    """Change a line that the update changes, too."""
    file = folder / "app" / "core" / "limits.py"
    file.write_text(file.read_text().replace("Limits of requests.", "My limits."))


def test_conflict_becomes_an_issue(github: GitHub) -> None:
    """One issue, however often the workflow runs, and no branch."""
    github.push(edit)
    before = github.branches()

    for _ in range(2):
        finished = github.run()

        assert finished.exit_code == 0, finished.report()
        assert github.branches() == before
        (opened,) = github.opened("issue")
        assert "conflict  app/core/limits.py" in opened["body"]
        assert opened["body"].endswith("update as app/core/README.md describes.\n")
        assert github.opened("pr") == []


def test_refused_update_fails(github: GitHub) -> None:
    """The log has the reason."""
    github.push(lambda folder: (folder / ANSWERS).write_text("- 1\n"))
    before = github.branches()

    finished = github.run()

    assert finished.exit_code == 1
    assert f"Error: {ANSWERS} contains no answers" in finished.stderr
    assert github.branches() == before
    assert list(github.state.iterdir()) == []


def test_rejected_push_fails(github: GitHub) -> None:
    """GitHub rejects changed workflows, unless a token of the owner allows them."""
    hook = github.origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)

    finished = github.run()

    assert finished.exit_code == 1
    assert "rejected" in finished.stderr
    assert list(github.state.iterdir()) == []


def test_forbidden_pull_request_fails(github: GitHub) -> None:
    """The next run opens it, if it is permitted by then."""
    forbidden = github.state / "forbidden"
    forbidden.touch()

    finished = github.run()

    assert finished.exit_code == 1
    assert "not permitted" in finished.stderr
    forbidden.unlink()
    assert github.run().exit_code == 0
    assert len(github.opened("pr")) == 1


def test_permissions_are_the_least(service: Path) -> None:
    """Push a branch, and open issues and pull requests."""
    workflow = yaml.safe_load((service / WORKFLOW).read_text(encoding="utf-8"))
    assert workflow["permissions"] == {}
    wanted = {"contents": "write", "issues": "write", "pull-requests": "write"}
    assert [job["permissions"] for job in workflow["jobs"].values()] == [wanted]
    triggers = workflow[True]  # YAML reads `on` as true
    assert triggers.keys() == {"schedule", "workflow_dispatch"}
    (schedule,) = triggers["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* \d", schedule["cron"])


def test_workflow_requires_github_and_a_url(
    history: History, render: Renders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither another CI service nor a template in a folder can run it."""
    monkeypatch.setenv("COPIER_CACHE_DIR", str(tmp_path / "cache"))
    with quick_copier():
        address = f"git+file://{history.path}"
        render_from(address, history.target, tmp_path / "service", {"ci": "none"})

    for service in (tmp_path / "service", render({})):
        assert not (service / WORKFLOW).exists()
        manual = (service / "app" / "core" / "README.md").read_text(encoding="utf-8")
        assert "update.yml" not in manual


ADDRESSES = {
    "gh:owner/name": "git+https://github.com/owner/name",
    "gh:/owner/name.git": "git+https://github.com/owner/name.git",
    "gl:owner/group/name": "git+https://gitlab.com/owner/group/name",
    "https://github.com/owner/name": "git+https://github.com/owner/name",
    "https://example.com/name.git": "git+https://example.com/name.git",
    "git+https://me@example.com:8443/name": "git+https://me@example.com:8443/name",
    "git@github.com:owner/name.git": "git+ssh://git@github.com/owner/name.git",
    "git+git@github.com:owner/name": "git+ssh://git@github.com/owner/name",
    "me@example.com:/srv/name.git": "git+ssh://me@example.com/srv/name.git",
    "ssh://git@example.com:22/name.git": "git+ssh://git@example.com:22/name.git",
    "git+file:///srv/name": "git+file:///srv/name",
    "git+file:///my templates/name": "'git+file:///my templates/name'",
    "https://example.com/$(id).git": "'git+https://example.com/$(id).git'",
    "/srv/name": "/srv/name",
    "/srv/name.git": "/srv/name.git",
    "/srv/me@example.com:name": "/srv/me@example.com:name",
    "/my templates/name": "'/my templates/name'",
    "C:\\name": "'C:\\name'",
    ".": "<address of the template>",
    "../my templates": "<address of the template>",
}
"""Addresses that Copier accepts, and how `uvx --from` takes them."""


@pytest.mark.parametrize("address", ADDRESSES)
def test_address_is_one_for_uvx(address: str) -> None:
    """It understands fewer forms than Copier."""
    environment = jinja2.Environment(  # noqa: S701 - not HTML
        loader=jinja2.FileSystemLoader(ROOT),
        extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"],
    )
    macros: Any = environment.get_template("includes/macros.jinja").module
    assert macros.package(address) == ADDRESSES[address]
    assert macros.is_remote(address) == str("://" in ADDRESSES[address])
