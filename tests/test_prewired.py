"""The command `prewired`: it never loses a line, and never leaves an update half done."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prewired import cli
from prewired import project as project_module
from prewired.errors import PrewiredError
from prewired.git import Git, GitError
from prewired.merging import Plan, apply, merge
from prewired.notes import changes_between
from prewired.project import ANSWERS, JOURNAL, Project, Step
from prewired.template import cloned, move_out
from support.personas import begin, conflicts, read, save
from support.programs import Finished, environment, run, uv
from support.projects import MANUAL
from support.releases import SYNTHETIC, History
from support.rendering import COMMITTER, git, once, texts_in
from support.results import Say
from support.root import ROOT

COMMAND = str(Path(sys.prefix) / "bin" / "prewired")
MINE = "# Mine.\n"

DONE, REFUSED, TO_RESOLVE = 0, 1, 3


def prewired(folder: Path, *arguments: str, **variables: str) -> Finished:
    """Run the command in a folder."""
    env = environment(**{**COMMITTER, **variables})
    return run(COMMAND, *arguments, cwd=folder, env=env, check=False)


def update(folder: Path, *arguments: str, **variables: str) -> Finished:
    """Run `prewired update --defaults`."""
    return prewired(folder, "update", "--defaults", *arguments, **variables)


def state(project: Path) -> tuple[dict[str, str], str]:
    """Return the files of a project, and what git says about them."""
    return read(project), git(project, "status", "--porcelain")


@pytest.fixture(scope="session")
def rendered(history: History, shared_folder: Path) -> Path:
    """A committed project of an older release."""

    def make(folder: Path) -> None:
        history.at(SYNTHETIC).render(folder)
        begin(folder)

    return once(shared_folder / "prewired", make)


@pytest.fixture
def project(rendered: Path, tmp_path: Path) -> Path:
    """The same, for one test."""
    return Path(shutil.copytree(rendered, tmp_path / "service", symlinks=True))


@pytest.fixture(scope="session")
def newest(history: History, shared_folder: Path) -> dict[str, str]:
    """The files of a fresh project."""
    return texts_in(once(shared_folder / "newest", lambda folder: history.current.render(folder)))


def test_unchanged_project_becomes_a_fresh_one(project: Path, newest: dict[str, str]) -> None:
    """Except for files of the owner that the template changed or added since."""
    before = read(project)
    finished = update(project)

    assert finished.exit_code == DONE, finished.report()
    expected = {**newest, "app/settings.py": before["app/settings.py"]}
    del expected["app/songs/README.md"]
    assert read(project) == expected
    assert update(project).exit_code == REFUSED  # not committed yet
    save(project)
    assert "is up to date" in update(project).stdout


def test_owners_changes_are_kept(project: Path) -> None:
    """Added lines, moved, deleted and new files are as the owner left them, and updated."""
    append(project / "app" / "main.py", MINE)
    append(project / "app" / "core" / "limits.py", MINE)
    git(project, "mv", "app/core/README.md", "manual.md")
    (project / "tests" / "core" / "test_migrations.py").unlink()
    (project / "app" / "notes").mkdir()
    (project / "app" / "notes" / "models.py").write_text(MINE)
    save(project)

    finished = update(project)

    assert finished.exit_code == DONE, finished.report()
    files = read(project)
    assert files["app/main.py"].endswith(MINE)
    assert files["app/core/limits.py"].startswith('"""Limits for requests."""')
    assert files["app/core/limits.py"].endswith(MINE)
    assert files["app/notes/models.py"] == MINE
    assert "# Manual\n" in files["manual.md"]
    assert files.keys().isdisjoint({"app/core/README.md", "tests/core/test_migrations.py"})
    assert "tests/core/test_settings.py" in files


def test_changes_to_owned_files_are_shown(project: Path) -> None:
    """The files are left alone; a file that the owner deleted is not mentioned."""
    append(project / "README.md", MINE)
    shutil.rmtree(project / "app" / "songs")
    save(project)
    before = read(project)

    finished = update(project)

    assert finished.exit_code == DONE, finished.report()
    after = read(project)
    for path in ("README.md", "app/settings.py", "app/main.py"):
        assert after[path] == before[path]
    assert '\n-"""The settings."""\n+"""Settings of the service."""\n' in finished.stdout
    assert "+++ b/app/songs" not in finished.stdout


def test_long_changes_to_owned_files_are_cut(history: History, tmp_path: Path) -> None:
    """The first release that can be updated had another README."""
    project = history.at("v0.8.0").render(tmp_path / "service")
    begin(project)

    short = prewired(project, "preview", "--defaults")
    long = prewired(project, "preview", "--defaults", "--diff")

    assert "more lines in README.md: --diff shows them" in short.stdout
    assert "more lines in README.md" not in long.stdout
    assert len(long.stdout) > 2 * len(short.stdout)


def test_file_moved_among_owned_ones_is_left_alone(project: Path) -> None:
    """It is the owner's there, although git would take it for the template's."""
    git(project, "mv", "app/core/limits.py", "app/songs/limits.py")
    append(project / "app" / "songs" / "limits.py", MINE)
    save(project)
    before = read(project)["app/songs/limits.py"]

    finished = update(project)

    assert finished.exit_code == DONE, finished.report()
    assert "app/core/limits.py stays deleted" in finished.stdout
    assert read(project)["app/songs/limits.py"] == before


def test_line_endings_of_a_conflict_are_kept(project: Path) -> None:
    """Markers are the only change to the owner's lines."""
    (project / ".gitattributes").write_text("* -text\n")
    file = project / "app" / "core" / "limits.py"
    text = file.read_text().replace("Limits of requests.", "My limits.")
    file.write_bytes(text.replace("\n", "\r\n").encode())
    save(project)

    assert update(project).exit_code == TO_RESOLVE
    assert text.replace("\n", "\r\n").encode() in file.read_bytes()


def test_deleted_file_that_the_template_changed_is_named(project: Path) -> None:
    """It stays deleted."""
    (project / "app" / "core" / "limits.py").unlink()
    save(project)

    finished = update(project)

    assert finished.exit_code == DONE
    assert "app/core/limits.py stays deleted" in finished.stdout
    assert not (project / "app" / "core" / "limits.py").exists()


def test_conflict_is_left_to_git(project: Path) -> None:
    """The file has markers, git lists it as unmerged, and `git reset --hard` gives up."""
    file = project / "app" / "core" / "limits.py"
    text = file.read_text()
    file.write_text(text.replace("Limits of requests.", "My limits."))
    save(project)
    before = read(project)

    finished = update(project)

    assert finished.exit_code == TO_RESOLVE
    assert conflicts(project) == {"app/core/limits.py"}
    assert "<<<<<<< yours\n" in file.read_text()
    assert ">>>>>>> the template's\n" in file.read_text()
    assert "To resolve, between the markers <<<<<<< and >>>>>>>: app/core/limits.py" in (
        finished.stderr
    )
    git(project, "reset", "--quiet", "--hard")
    assert read(project) == before


@pytest.mark.parametrize("changed", [True, False])
def test_file_that_the_template_dropped_is_kept_if_it_was_changed(
    history: History, project: Path, tmp_path: Path, changed: bool
) -> None:
    """Copier would delete it without a word."""
    template = tmp_path / "template"
    git(tmp_path, "clone", "--quiet", str(history.path), str(template))
    git(template, "checkout", "--quiet", history.target)
    (template / "template" / "app" / "core" / "limits.py").unlink()
    save(template)
    git(template, "tag", "v9.0.0")
    answers = project / ANSWERS
    answers.write_text(answers.read_text().replace(str(history.path), str(template)))
    if changed:
        append(project / "app" / "core" / "limits.py", MINE)
    save(project)

    finished = update(project)

    assert finished.exit_code == (TO_RESOLVE if changed else DONE), finished.report()
    kept = project / "app" / "core" / "limits.py"
    assert kept.exists() == changed
    if changed:
        assert "but dropped by the template: app/core/limits.py." in finished.stderr
        assert kept.read_text().endswith(MINE)
        assert git(project, "diff", "--name-only", "--diff-filter=U").split() == [
            "app/core/limits.py"
        ]


def append(file: Path, text: str) -> None:
    """Add text to a file."""
    file.write_text(file.read_text() + text)


def ignored_by_an_outer_repository(project: Path) -> None:
    """The README's first commands run in a clone of the template, for example."""
    shutil.rmtree(project / ".git")
    (project.parent / ".gitignore").write_text("service\n")
    begin(project.parent)


def dirty(project: Path) -> None:
    """A change is not committed."""
    append(project / "app" / "core" / "limits.py", MINE)


def staged(project: Path) -> None:
    """A change is in the index."""
    dirty(project)
    git(project, "add", "--all")


def merging_another_branch(project: Path) -> None:
    """A merge is in progress, without any change."""
    for number, name in enumerate(("one", "two")):
        git(project, "checkout", "--quiet", "-b", name, "main")
        (project / "notes.txt").write_text(f"{number}\n")
        save(project)
    with pytest.raises(AssertionError):
        git(project, "merge", "--quiet", "one")
    (project / "notes.txt").write_text("both\n")
    git(project, "checkout", "--quiet", "HEAD", "--", "notes.txt")


def untracked_file_in_the_way(project: Path) -> None:
    """A file that git does not know has the name of a new one."""
    (project / "tests" / "core" / "test_settings.py").write_text(MINE)


def ignored_file_in_the_way(project: Path) -> None:
    """`git status` does not list the file."""
    (project / ".git" / "info" / "exclude").write_text("test_settings.py\n")
    untracked_file_in_the_way(project)


def file_in_place_of_a_folder(project: Path) -> None:
    """A folder of the template is a file."""
    shutil.rmtree(project / "tests" / "core")
    save(project)
    (project / "tests" / "core").write_text(MINE)


def linked_folder(project: Path) -> None:
    """A folder of new files is a symbolic link that git does not know."""
    shutil.rmtree(project / "tests" / "core")
    save(project)
    (project / "tests" / "elsewhere").mkdir()
    (project / "tests" / "core").symlink_to("elsewhere")


def assumed_unchanged(project: Path) -> None:
    """Git was told not to look at a changed file."""
    git(project, "update-index", "--assume-unchanged", "app/core/limits.py")
    dirty(project)


def skipped_in_the_work_tree(project: Path) -> None:
    """The same, with the other flag."""
    git(project, "update-index", "--skip-worktree", "app/core/limits.py")
    dirty(project)


def answers(change: Callable[[str], str]) -> Callable[[Path], None]:
    """Return a function that changes the answers file, and commits it."""

    def damage(project: Path) -> None:
        file = project / ANSWERS
        file.write_text(change(file.read_text()))
        save(project)

    return damage


REFUSALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no repository": (lambda project: shutil.rmtree(project / ".git"), "not in a git repository"),
    "no commit": (
        lambda project: git(project, "update-ref", "-d", "HEAD"),
        f"git does not track {ANSWERS} here",
    ),
    "ignored": (ignored_by_an_outer_repository, f"git does not track {ANSWERS} here"),
    "dirty": (dirty, "changes that are not committed: app/core/limits.py"),
    "staged": (staged, "changes that are not committed: app/core/limits.py"),
    "merge": (merging_another_branch, "A merge is in progress"),
    "untracked": (untracked_file_in_the_way, "tests/core/test_settings.py. Move or commit"),
    "ignored file": (ignored_file_in_the_way, "tests/core/test_settings.py. Move or commit"),
    "file for a folder": (file_in_place_of_a_folder, "Move or commit yours"),
    "assumed unchanged": (assumed_unchanged, "app/core/limits.py differs from its last commit"),
    "skipped": (skipped_in_the_work_tree, "app/core/limits.py differs from its last commit"),
    "no answers": (lambda project: (project / ANSWERS).unlink(), "is no service of this template"),
    "lost line": (
        answers(lambda text: text.replace("database: sqlite\n", "")),
        f"{ANSWERS} lacks database: restore it",
    ),
    "markers": (answers(lambda text: f"<<<<<<< a\n{text}"), f"{ANSWERS} cannot be read"),
    "empty": (answers(lambda _: ""), f"{ANSWERS} contains no answers"),
    "not a mapping": (answers(lambda _: "- 1\n"), f"{ANSWERS} contains no answers"),
    "too old": (
        answers(lambda text: text.partition("_answered")[0]),
        "Services of releases before 0.8 cannot be updated",
    ),
    "damaged lines": (
        answers(lambda text: re.sub("_answered: .*", "_answered: 5", text)),
        f"{ANSWERS} has damaged lines",
    ),
    "damaged address": (
        answers(lambda text: re.sub("_src_path: .*", "_src_path: 5", text)),
        f"{ANSWERS} has damaged lines",
    ),
    "lock": (
        lambda project: (project / ".git" / "index.lock").touch(),
        "Another git command is running here. If one was killed, delete",
    ),
    "symbolic link": (linked_folder, "The template has new files where you have others"),
    "unknown release": (
        answers(lambda text: text.replace(SYNTHETIC, "v0.0.2")),
        "has no release v0.0.2",
    ),
    "unknown address": (
        answers(lambda text: text.replace("_src_path: ", "_src_path: /nowhere")),
        "cannot be reached",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_update_is_refused_in_one_sentence(project: Path, name: str) -> None:
    """Nothing is changed then."""
    spoil, sentence = REFUSALS[name]
    spoil(project)
    before = texts_in(project)

    finished = update(project)

    assert finished.exit_code == REFUSED, finished.report()
    assert sentence in finished.stderr.replace("\n", " ")
    assert finished.stderr.startswith("Error: ")
    assert finished.stderr.count("\n") == 1
    assert texts_in(project) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--to", "v99.0.0"), "has no release v99.0.0."),
        (("--to", "v0.0.0"), "has no release v0.0.0."),
        (("--data", "database=oracle"), "oracle"),
        (("--data", "database"), "write --data NAME=ANSWER"),
    ],
)
def test_wrong_option_is_refused(project: Path, arguments: tuple[str, ...], sentence: str) -> None:
    """Nothing is changed then."""
    before = state(project)

    finished = update(project, *arguments)

    assert finished.exit_code == REFUSED, finished.report()
    assert sentence in finished.stderr
    assert "Traceback" not in finished.stderr
    assert state(project) == before


def test_older_release_is_refused(project: Path) -> None:
    """Updates go forward only."""
    assert update(project).exit_code == DONE
    save(project)

    finished = update(project, "--to", SYNTHETIC)

    assert finished.exit_code == REFUSED
    assert f"which is newer than {SYNTHETIC}" in finished.stderr


@pytest.mark.parametrize(("version", "code"), [("2.34.1", REFUSED), ("2.38.0.windows.1", DONE)])
def test_old_git_is_refused(project: Path, tmp_path: Path, version: str, code: int) -> None:
    """Ubuntu 22.04 has 2.34, which cannot merge without a work tree."""
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    real = shutil.which("git")
    old.write_text(
        f'#!/bin/sh\n[ "$1" = version ] && echo "git version {version}" || exec {real} "$@"\n'
    )
    old.chmod(0o755)

    finished = update(project, PATH=f"{old.parent}:{os.environ['PATH']}")

    assert finished.exit_code == code, finished.report()
    if code == REFUSED:
        assert "git 2.34 is too old: install git 2.38 or newer." in finished.stderr


SETTINGS = """
[core]
    autocrlf = true
    fsmonitor = true
    quotePath = true
    splitIndex = true
    hooksPath = {hooks}
    attributesFile = {attributes}
[apply]
    whitespace = fix
[commit]
    gpgSign = true
[diff]
    noprefix = true
    external = false
    mnemonicPrefix = true
    renames = false
[merge]
    conflictStyle = zdiff3
    renames = false
    ff = only
[status]
    showUntrackedFiles = no
    short = true
[color]
    ui = always
[user]
    useConfigOnly = true
"""


def test_settings_of_git_make_no_difference(project: Path, tmp_path: Path) -> None:
    """Neither do variables of the environment."""
    append(project / "app" / "core" / "limits.py", MINE)
    git(project, "mv", "app/core/README.md", "manual.md")
    save(project)
    other = Path(shutil.copytree(project, tmp_path / "other", symlinks=True))
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "post-index-change", "reference-transaction"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    attributes = tmp_path / "attributes"
    attributes.write_text("*.py text eol=crlf\n* filter=missing\n")
    configuration = tmp_path / "configuration"
    configuration.write_text(SETTINGS.format(hooks=hooks, attributes=attributes))

    assert update(project).exit_code == DONE
    strange = {"GIT_CONFIG_GLOBAL": str(configuration), "GIT_DIR": "/nowhere", "GIT_TRACE": "1"}
    finished = update(other, **strange)

    assert finished.exit_code == DONE, finished.report()
    assert git(other, "write-tree") == git(project, "write-tree")


@pytest.mark.parametrize("seed", range(8))
def test_killed_update_is_undone_or_done(project: Path, seed: int) -> None:
    """Ctrl-C and SIGTERM stop the command before it changes anything, and not afterwards."""
    append(project / "app" / "core" / "limits.py", MINE)
    save(project)
    before = state(project)
    chance = random.Random(seed)  # noqa: S311
    number = chance.choice([signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
    process = subprocess.Popen(
        [COMMAND, "update", "--defaults"],
        cwd=project,
        env=environment(**COMMITTER),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(chance.uniform(0.3, 3))
    os.kill(process.pid, number)
    process.wait(30)
    time.sleep(0.5)  # git can still be running

    if not (project / ".git" / JOURNAL).exists() and state(project) == before:
        assert update(project).exit_code == DONE
    else:
        Project(project).recover()
    files = read(project)
    assert files["app/core/limits.py"].endswith(MINE)
    assert not (project / ".git" / JOURNAL).exists()


def planned(history: History, project: Path, folder: Path, release: str = SYNTHETIC) -> Plan:
    """Merge the newest release into a project of another, without changing it."""
    with cloned(str(history.path)) as template:
        owned = template.rendered_once(history.target, {})
    for tag in (release, history.target):
        if not (folder / tag).exists():
            history.at(tag).render(folder / tag)
            move_out(owned, folder / tag, folder / f"{tag}-owned")
    return merge(Project(project), folder / release, folder / history.target, owned)


def test_failed_update_is_undone(
    history: History, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: git has written some files, and fails."""
    before = state(project)
    plan = planned(history, project, tmp_path)
    call = Git.__call__

    def fail(self: Git, *arguments: str, given: str = "") -> str:
        if arguments[:3] == ("read-tree", "-m", "-u"):
            (project / "app" / "core" / "limits.py").write_text('"""Lim')
            raise GitError("git read-tree failed: No space left on device")
        return call(self, *arguments, given=given)

    monkeypatch.setattr(Git, "__call__", fail)
    with pytest.raises(PrewiredError, match=r"Nothing was changed: .*No space left"):
        apply(Project(project), plan)

    assert state(project) == before


def break_filter(repository: Path, name: str) -> Path:
    """Let git fail when it writes a file; return the file that does it."""
    for key, value in (("smudge", "false"), ("clean", "cat"), ("required", "true")):
        git(repository, "config", f"filter.broken.{key}", value)
    attributes = repository / ".git" / "info" / "attributes"
    attributes.write_text(f"{name} filter=broken\n")
    return attributes


def test_update_that_fails_halfway_is_undone(history: History, tmp_path: Path) -> None:
    """A filter for one of the new files does not work; others have been written by then."""
    project = history.at("v0.8.0").render(tmp_path / "service")
    begin(project)
    attributes = break_filter(project, "AGENTS.md")
    before = state(project)

    failed = update(project)

    assert failed.exit_code == REFUSED, failed.report()
    assert "Nothing was changed: git read-tree failed" in failed.stderr
    assert state(project) == before
    attributes.unlink()
    assert update(project).exit_code == DONE


def test_undoing_leaves_other_changes_alone(rendered: Path, tmp_path: Path) -> None:
    """Those in other parts of the repository, staged or not."""
    whole = tmp_path / "whole"
    shutil.copytree(rendered, whole / "service")
    shutil.rmtree(whole / "service" / ".git")
    for name in ("changed.txt", "staged.txt"):
        (whole / name).write_text("old\n")
    begin(whole)
    break_filter(whole, "test_settings.py")
    (whole / "staged.txt").write_text(MINE)
    (whole / "new.txt").write_text(MINE)
    git(whole, "add", "--all")
    (whole / "changed.txt").write_text(MINE)
    before = state(whole)

    assert update(whole / "service").exit_code == REFUSED
    assert state(whole) == before


def test_only_one_update_runs(history: History, project: Path, tmp_path: Path) -> None:
    """Others neither change anything nor undo what it does."""
    plan = planned(history, project, tmp_path)
    before = state(project)
    with Project(project).journal(Step(plan.before, plan.after, [])):
        for command in ("update", "status", "preview"):
            finished = prewired(project, command)
            assert finished.exit_code == REFUSED
            assert "Another update is running here: wait until it ends." in finished.stderr
    assert state(project) == before
    assert not (project / ".git" / JOURNAL).exists()


def test_update_works_without_calls_that_windows_lacks(
    history: History, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are no file locks, and no signal for a closed terminal."""
    monkeypatch.setattr(project_module, "fcntl", None)
    monkeypatch.delattr(signal, "SIGHUP")
    plan = planned(history, project, tmp_path)

    apply(Project(project), plan)

    assert git(project, "write-tree").strip() == plan.after
    assert not (project / ".git" / JOURNAL).exists()


def note(project: Path, plan: Plan) -> None:
    """Leave what an update notes before it changes the work tree, as if it had been killed."""
    step = Step(plan.before, plan.after, [*plan.conflicts])
    (project / ".git" / JOURNAL).write_text(json.dumps(asdict(step)))


def test_work_after_an_interrupted_update_is_kept(
    history: History, project: Path, tmp_path: Path
) -> None:
    """Undoing the update changes its own files only, and is reported."""
    plan = planned(history, project, tmp_path)
    text = (project / MANUAL).read_text()
    git(project, "status")  # refreshes the index
    git(project, "read-tree", "-m", "-u", plan.before, plan.after)
    note(project, plan)
    append(project / "app" / "songs" / "router.py", MINE)
    (project / "app" / "new.py").write_text(MINE)
    git(project, "add", "app/new.py")

    finished = prewired(project, "status")

    assert finished.exit_code == DONE, finished.report()
    assert "An update was interrupted: what it had changed is undone." in finished.stderr
    assert (project / "app" / "songs" / "router.py").read_text().endswith(MINE)
    assert (project / "app" / "new.py").read_text() == MINE
    assert (project / MANUAL).read_text() == text
    assert not (project / "tests" / "core" / "test_settings.py").exists()
    assert git(project, "status", "--porcelain").split() == [
        *("A", "app/new.py"),
        *("M", "app/songs/router.py"),
    ]


@pytest.mark.parametrize("edited", [True, False])
def test_interrupted_update_is_undone_unless_a_file_was_edited(
    history: History, project: Path, tmp_path: Path, edited: bool
) -> None:
    """Undoing it could lose a line of the owner."""
    before = state(project)
    plan = planned(history, project, tmp_path)
    note(project, plan)
    new = git(project, "show", f"{plan.after}:app/core/README.md")
    (project / "app" / "core" / "README.md").write_text(
        new[: len(new) // 2] + (MINE if edited else "")
    )

    if edited:
        with pytest.raises(PrewiredError, match=r"app/core/README\.md changed since"):
            Project(project).recover()
        assert (project / "app" / "core" / "README.md").read_text().endswith(MINE)
    else:
        Project(project).recover()
        assert state(project) == before


def test_interrupted_update_is_forgotten_after_a_commit(
    history: History, project: Path, tmp_path: Path
) -> None:
    """Undoing it would undo the commit."""
    plan = planned(history, project, tmp_path)
    note(project, plan)
    append(project / "README.md", MINE)
    save(project)
    before = state(project)

    Project(project).recover()

    assert state(project) == before
    assert not (project / ".git" / JOURNAL).exists()


def test_part_of_a_repository_is_updated(rendered: Path, tmp_path: Path) -> None:
    """Other parts can have changes that are not committed."""
    shutil.copytree(rendered, tmp_path / "whole" / "services" / "songs")
    shutil.rmtree(tmp_path / "whole" / "services" / "songs" / ".git")
    (tmp_path / "whole" / "other.txt").write_text("old\n")
    begin(tmp_path / "whole")
    (tmp_path / "whole" / "other.txt").write_text(MINE)
    service = tmp_path / "whole" / "services" / "songs"

    finished = update(service)

    assert finished.exit_code == DONE, finished.report()
    assert (service / "tests" / "core" / "test_settings.py").exists()
    assert (tmp_path / "whole" / "other.txt").read_text() == MINE
    assert not (tmp_path / "whole" / "tests").exists()


def test_work_tree_and_shallow_clone_are_updated(project: Path, tmp_path: Path) -> None:
    """So are a sparse clone and a submodule."""
    append(project / "app" / "main.py", MINE)
    save(project)
    git(project, "worktree", "add", "--quiet", str(tmp_path / "tree"))
    git(tmp_path, "clone", "--quiet", "--depth=1", project.as_uri(), str(tmp_path / "shallow"))
    git(tmp_path, "clone", "--quiet", "--sparse", project.as_uri(), str(tmp_path / "sparse"))
    outer = tmp_path / "outer"
    outer.mkdir()
    begin(outer)
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(project))

    for folder in (tmp_path / "tree", tmp_path / "shallow", tmp_path / "sparse", outer / "service"):
        finished = update(folder)
        assert finished.exit_code == DONE, finished.report()
        assert git(folder, "show", ":app/main.py").endswith(MINE)
        assert git(folder, "show", ":tests/core/test_settings.py")


def test_preview_changes_nothing(project: Path) -> None:
    """It lists the files and shows the changed lines."""
    before = state(project)

    finished = prewired(project, "preview", "--defaults", "--diff")

    assert finished.exit_code == DONE, finished.report()
    assert "new       tests/core/test_settings.py" in finished.stdout
    assert "changed   app/core/README.md" in finished.stdout
    assert "\n-# Handbook\n+# Manual\n" in finished.stdout
    assert state(project) == before


def test_answer_can_be_changed(project: Path) -> None:
    """The command says which answers change."""
    finished = update(project, "--data", "database=postgresql")

    assert finished.exit_code == DONE, finished.report()
    assert "database: postgresql, before: sqlite" in finished.stdout
    assert "asyncpg" in (project / "pyproject.toml").read_text()


def test_status_names_release_choices_and_changes(project: Path, history: History) -> None:
    """Deleted files are changes, too."""
    append(project / "app" / "core" / "limits.py", MINE)
    (project / "LICENSE").unlink(missing_ok=True)
    (project / "tests" / "core" / "test_migrations.py").unlink()
    save(project)

    finished = prewired(project, "status")

    assert finished.exit_code == DONE, finished.report()
    assert f"Release {SYNTHETIC}, newest {history.target}, of {history.path}" in finished.stdout
    assert "database: sqlite (or postgresql, mysql)" in finished.stdout
    assert finished.stdout.endswith(
        "template's files: 2\n  app/core/limits.py\n  tests/core/test_migrations.py (deleted)\n"
    )


def test_new_creates_a_repository(history: History, tmp_path: Path) -> None:
    """In an existing repository, it does not."""
    arguments = ("--from", str(history.path), "--defaults", "--data", "project_name=Tea time")

    finished = prewired(tmp_path, "new", "tea", *arguments)
    again = prewired(tmp_path, "new", "tea", *arguments)
    wrong = prewired(tmp_path, "new", "coffee", *arguments, "--data", "database=oracle")
    (tmp_path / "outer").mkdir()
    begin(tmp_path / "outer")
    inside = prewired(tmp_path / "outer", "new", "tea", *arguments)

    assert finished.exit_code == DONE, finished.report()
    assert "Tea time is ready." in finished.stdout
    assert "uv run tea-time dev" in finished.stdout
    assert again.exit_code == REFUSED
    assert "tea exists and is not an empty folder" in again.stderr
    assert wrong.exit_code == REFUSED
    assert wrong.stderr.startswith("Error: The template cannot be rendered")
    assert not (tmp_path / "coffee").exists()
    assert f"It is in the git repository {tmp_path / 'outer'}: commit it there." in inside.stdout
    assert not (tmp_path / "outer" / "tea" / ".git").exists()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "Its first commit is made."),
        ({"GIT_COMMITTER_NAME": ""}, "tell git who you are"),
        ({"UV_OFFLINE": "1", "UV_CACHE_DIR": "empty"}, "Run `uv lock`, which did not succeed"),
        ({"GIT_CONFIG_GLOBAL": "signing"}, "git could not (fatal: failed to write commit object)"),
    ],
    ids=["well", "nobody", "offline", "no key"],
)
def test_new_says_what_is_left_to_do(
    variables: dict[str, str], said: str, history: History, tmp_path: Path
) -> None:
    """The service is complete, whatever git and uv cannot do."""
    (tmp_path / "signing").write_text("[commit]\ngpgSign = true\n[gpg]\nprogram = false\n")
    where = {"UV_CACHE_DIR", "GIT_CONFIG_GLOBAL"}
    variables = {
        name: str(tmp_path / value) if name in where else value for name, value in variables.items()
    }

    finished = prewired(
        tmp_path, "new", "tea", "--from", str(history.path), "--defaults", **variables
    )

    assert finished.exit_code == DONE, finished.report()
    assert said in finished.stdout
    assert (tmp_path / "tea" / "app" / "main.py").exists()


def test_relative_address_is_stored_as_an_absolute_one(history: History, tmp_path: Path) -> None:
    """Updates run in another folder."""
    address = os.path.relpath(history.path, tmp_path)

    assert prewired(tmp_path, "new", "tea", "--from", address, "--defaults").exit_code == DONE
    assert f"_src_path: {history.path}\n" in (tmp_path / "tea" / ANSWERS).read_text()


@pytest.mark.parametrize(
    ("record", "address"),
    [
        ({"url": "file:///home/ada/my%20template", "dir_info": {}}, "/home/ada/my template"),
        ({"url": "https://example.com/a/b", "vcs_info": {}}, "git+https://example.com/a/b"),
        ({"url": "https://example.com/a/b.git", "vcs_info": {}}, "https://example.com/a/b.git"),
        ({"url": "file:///tmp/prewired.whl", "archive_info": {}}, None),
        ({}, None),
    ],
)
def test_address_is_where_the_command_comes_from(
    record: dict[str, object], address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel does not say so: its user has to."""
    found = SimpleNamespace(read_text=lambda _: json.dumps(record))
    monkeypatch.setattr(cli, "distribution", lambda _: found)

    if address is None:
        with pytest.raises(PrewiredError, match="add --from ADDRESS"):
            cli.own_address()
    else:
        assert cli.own_address() == address


def test_command_runs_from_a_wheel(project: Path, tmp_path: Path) -> None:
    """An update finds the template's address in the answers file."""
    run(uv(), "build", "--quiet", "--wheel", "--out-dir", str(tmp_path / "dist"), cwd=ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    command = (uv(), "tool", "run", "--quiet", "--from", str(wheel), "prewired")

    env = environment(**COMMITTER)
    finished = run(*command, "update", "--defaults", cwd=project, env=env, check=False)

    assert finished.exit_code == DONE, finished.report()
    assert (project / "tests" / "core" / "test_settings.py").exists()


CHANGELOG = """# Changelog

## [Unreleased]

- Later.

## [1.1.0] - 2026-02-01

### Breaking

- Rename a setting:
  `a` is `b`.
- And another.

### Added

- Tea.

## [1.0.1] - 2026-01-02

### Fixed

- A cup.

## [1.0.0] - 2026-01-01

### Added

- Coffee.
"""


def test_changelog_lists_breaking_changes_first() -> None:
    """It lists the releases between the two, newest first."""
    urgent, others = changes_between(CHANGELOG, "v1.0.0", "v1.1.0")

    assert urgent == "## 1.1.0\n\n- Rename a setting: `a` is `b`.\n- And another."
    assert others == "## 1.1.0, added\n\n- Tea.\n\n## 1.0.1, fixed\n\n- A cup."
    assert changes_between(CHANGELOG, "v1.1.0", "v1.1.0") == ("", "")
    assert changes_between(CHANGELOG, "v1.0.0-3-gabcdef", "v1.1.0") == ("", "")


def ends(history: History) -> list[str]:
    """Return the synthetic release, the oldest that can be updated, and the newest."""
    return [SYNTHETIC, "v0.8.0", history.releases[-1]]


@pytest.fixture(scope="session")
def projects(history: History, shared_folder: Path) -> dict[str, Path]:
    """A committed project of each of these releases, for this process alone."""

    def make(folder: Path, tag: str) -> None:
        history.at(tag).render(folder)
        begin(folder)

    folder = shared_folder / "edited" / str(os.getpid())
    return {tag: once(folder / f"{tag}-service", partial(make, tag=tag)) for tag in ends(history)}


def test_no_line_of_an_owner_is_lost(history: History, projects: dict[str, Path], say: Say) -> None:
    """Random edits, moves and deletions: each line is still there, at worst in a conflict."""
    counted: Counter[str] = Counter()

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(data=st.data())
    def lose_nothing(data: st.DataObject) -> None:
        tag = data.draw(st.sampled_from(ends(history)))
        project = projects[tag]
        git(project, "checkout", "--quiet", "--force", "--detach", "main")
        names = sorted(set(read(project)) - {ANSWERS})
        written: list[str] = []
        chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=5, unique=True))
        for number, name in enumerate(chosen):
            kind = data.draw(st.sampled_from(["edit", "edit", "edit", "move", "delete", "replace"]))
            file = project / name
            lines = file.read_text().splitlines(keepends=True)
            if kind == "delete":
                file.unlink()
                continue
            first = 0 if kind == "replace" else data.draw(st.integers(0, len(lines)))
            last = (
                len(lines)
                if kind == "replace"
                else data.draw(st.integers(first, min(len(lines), first + 3)))
            )
            added = [
                f"owner's line {number}.{line}\n" for line in range(data.draw(st.integers(1, 3)))
            ]
            file.write_text("".join([*lines[:first], *added, *lines[last:]]))
            written += added
            if kind == "move":
                git(project, "mv", name, f"{name}-moved")
        save(project)

        plan = planned(history, project, project.parent, tag)

        found = (
            git(project, "grep", "--no-color", "-h", "owner's line", plan.after) if written else ""
        )
        assert sorted(set(written) - set(found.splitlines(keepends=True))) == []
        counted["updates"] += 1
        counted["lines"] += len(written)
        counted["conflicts"] += len(plan.conflicts)
        counted["with conflicts"] += bool(plan.conflicts)

    lose_nothing()
    say(
        f"{counted['updates']} random updates with {counted['lines']} lines of an owner: 0 lost, "
        f"{counted['conflicts']} conflicts in {counted['with conflicts']} updates"
    )
