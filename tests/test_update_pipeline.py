"""The scheduled job of GitLab that updates a service: run with a bare repository as `origin`."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from prewired.project import ANSWERS
from prewired.template import render as render_from
from support import programs
from support.personas import begin, save
from support.programs import Finished, environment
from support.releases import SYNTHETIC, History
from support.rendering import git, once, quick_copier

PIPELINE = ".gitlab-ci.yml"
JOB = "update from template"
BRANCH = "template-update"
UPDATED = {ANSWERS, "app/core/README.md", "app/core/limits.py", "tests/core/test_settings.py"}
"""The files that differ between the synthetic release and the newest."""

HOOK = """#!/bin/sh
for number in $(seq 0 $((GIT_PUSH_OPTION_COUNT - 1))); do
    eval "printf '%s\\\\n' \\"\\$GIT_PUSH_OPTION_$number\\""
done > options
"""
"""Keeps the options of a push, which GitLab reads."""

ADDRESS = "https://update:secret@gitlab.example.com:443/us/service.git"


@dataclass(frozen=True)
class GitLab:
    """A service's repository, and the options of the last push."""

    folder: Path

    @property
    def origin(self) -> Path:
        """The bare repository."""
        return self.folder / "origin.git"

    def options(self) -> dict[str, str]:
        """Return the options of the last push."""
        file = self.origin / "options"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def branches(self) -> dict[str, str]:
        """Return the commit of each branch."""
        lines = git(self.origin, "show-ref", "--heads").splitlines()
        return {name.removeprefix("refs/heads/"): sha for sha, name in map(str.split, lines)}

    def changed(self) -> set[str]:
        """Return the files that the branch of the update changes, in one commit."""
        assert git(self.origin, "rev-parse", f"{BRANCH}~1") == git(self.origin, "rev-parse", "main")
        return set(git(self.origin, "diff", "--name-only", "main", BRANCH).split())

    def push(self, change: Callable[[Path], object], branch: str = "main") -> None:
        """Commit a change of the owner, and push it."""
        clone = self._clone(branch)
        change(clone)
        save(clone)
        git(clone, "push", "--quiet", "origin", branch)

    def run(self) -> Finished:
        """Run the job as a runner does: in a shallow clone without a branch."""
        clone = self._clone("main")
        git(clone, "checkout", "--quiet", "--detach")
        pipeline = yaml.safe_load((clone / PIPELINE).read_text(encoding="utf-8"))
        path = os.pathsep.join([str(Path(programs.uv()).parent), environment()["PATH"]])
        script = "\n".join(pipeline[JOB]["script"])
        return programs.run(
            *("bash", "-e", "-o", "pipefail", "-c", script),
            cwd=clone,
            env=environment(
                PATH=path,
                UPDATE_TOKEN="secret",  # noqa: S106 - no server checks it
                CI_SERVER_HOST="gitlab.example.com",
                CI_SERVER_PORT="443",
                CI_PROJECT_PATH="us/service",
                CI_DEFAULT_BRANCH="main",
                GIT_CONFIG_COUNT="1",
                GIT_CONFIG_KEY_0=f"url.{self.origin.as_uri()}.insteadOf",
                GIT_CONFIG_VALUE_0=ADDRESS,
                COPIER_CACHE_DIR=str(self.folder / "cache"),
            ),
            check=False,
        )

    def _clone(self, branch: str) -> Path:
        clone = self.folder / "clone"
        shutil.rmtree(clone, ignore_errors=True)
        options = ["--quiet", "--depth=1", f"--branch={branch}", self.origin.as_uri()]
        git(self.folder, "clone", *options, str(clone))
        return clone


@pytest.fixture(scope="session")
def before(history: History, shared_folder: Path) -> Path:
    """The folder of the service's repository on GitLab."""

    def make(folder: Path) -> None:
        folder.mkdir()
        project = folder / "project"
        with quick_copier(), pytest.MonkeyPatch.context() as patch:
            patch.setenv("COPIER_CACHE_DIR", str(folder.with_name("cache")))
            render_from(f"git+file://{history.path}", SYNTHETIC, project, {"ci": "gitlab"})
        begin(project)
        origin = GitLab(folder).origin
        git(folder, "clone", "--quiet", "--bare", str(project), str(origin))
        git(origin, "config", "receive.advertisePushOptions", "true")
        (origin / "hooks").mkdir(exist_ok=True)
        (origin / "hooks" / "post-receive").write_text(HOOK, encoding="utf-8")
        (origin / "hooks" / "post-receive").chmod(0o755)

    return once(shared_folder / "gitlab", make)


@pytest.fixture(scope="session")
def after(before: Path, shared_folder: Path) -> Path:
    """The same after the job has run."""

    def make(folder: Path) -> None:
        shutil.copytree(before, folder)
        finished = GitLab(folder).run()
        assert finished.exit_code == 0, finished.report()

    return once(shared_folder / "gitlab-with-merge-request", make)


@pytest.fixture
def gitlab(before: Path, tmp_path: Path) -> GitLab:
    """The service's repository on GitLab, for one test."""
    return GitLab(Path(shutil.copytree(before, tmp_path / "gitlab")))


@pytest.fixture
def with_merge_request(after: Path, tmp_path: Path) -> GitLab:
    """The same, with an open merge request."""
    return GitLab(Path(shutil.copytree(after, tmp_path / "gitlab")))


def test_update_becomes_a_merge_request(with_merge_request: GitLab) -> None:
    """Its branch is one commit on top of main, and its text says what changes."""
    gitlab = with_merge_request

    assert gitlab.branches().keys() == {"main", BRANCH}
    assert gitlab.changed() == UPDATED
    options = gitlab.options()
    description = options.pop("merge_request.description").replace(r"\n", "\n")
    assert options == {
        "merge_request.create": "",
        "merge_request.target": "main",
        "merge_request.title": "Update from the template",
    }
    assert "# Breaking changes" in description.splitlines()
    assert "changed   app/core/limits.py" in description
    assert "secret" not in description


def test_open_merge_request_is_replaced(with_merge_request: GitLab) -> None:
    """The branch is on top of the newest main."""
    gitlab = with_merge_request
    first = gitlab.branches()[BRANCH]
    gitlab.push(lambda folder: (folder / "app" / "core" / "limits.py").unlink())

    finished = gitlab.run()

    assert finished.exit_code == 0, finished.report()
    assert gitlab.branches()[BRANCH] != first
    assert gitlab.changed() == UPDATED - {"app/core/limits.py"}


def test_owners_commits_on_the_branch_are_kept(with_merge_request: GitLab) -> None:
    """They can be the manual steps of a breaking change."""
    gitlab = with_merge_request
    gitlab.push(lambda folder: (folder / "app" / "main.py").unlink(), BRANCH)
    before = gitlab.branches()

    finished = gitlab.run()

    assert finished.exit_code == 1
    assert "it has commits of yours" in finished.stdout
    assert gitlab.branches() == before


def test_nothing_happens_without_an_update(with_merge_request: GitLab) -> None:
    """The merged branch, which can still exist, is left alone."""
    gitlab = with_merge_request
    git(gitlab.origin, "branch", "--force", "main", BRANCH)
    before = gitlab.branches()

    finished = gitlab.run()

    assert finished.exit_code == 0, finished.report()
    assert "is up to date" in finished.stdout
    assert gitlab.branches() == before


def edit(folder: Path) -> None:
    """Change a line that the update changes, too."""
    file = folder / "app" / "core" / "limits.py"
    file.write_text(file.read_text().replace("Limits of requests.", "My limits."))


def test_conflict_fails(gitlab: GitLab) -> None:
    """The log lists the conflicts, and there is no branch."""
    gitlab.push(edit)
    before = gitlab.branches()

    finished = gitlab.run()

    assert finished.exit_code == 3
    assert "conflict  app/core/limits.py" in finished.stdout
    assert finished.stdout.endswith("update as app/core/README.md describes.\n")
    assert gitlab.branches() == before


def test_rejected_push_fails(gitlab: GitLab) -> None:
    """The token can lack a scope."""
    hook = gitlab.origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)

    finished = gitlab.run()

    assert finished.exit_code == 1
    assert gitlab.branches().keys() == {"main"}
