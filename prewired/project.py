"""A service in a git work tree, and the reasons not to update it."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import yaml

from prewired.errors import HalfDoneError, PrewiredError
from prewired.git import Git

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

ANSWERS = ".copier-answers.yml"

UNFINISHED = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "BISECT_LOG": "bisect",
}
"""Files in the git directory, and what they mean."""

JOURNAL = "prewired-update"
"""File in the git directory that exists while an update changes the work tree."""

RUNNING = "Another update is running here: wait until it ends."


@dataclass(frozen=True)
class Step:
    """The step of an update that changes the work tree."""

    before: str
    """The tree of HEAD."""
    after: str
    """The tree to check out."""
    conflicts: list[str]
    """Files to resolve."""


@dataclass(frozen=True)
class Project:
    """A service in the folder `folder`, which can be a part of a repository."""

    folder: Path

    @cached_property
    def git(self) -> Git:
        """Git in the project's folder."""
        return Git(self.folder)

    @cached_property
    def root(self) -> Git:
        """Git in the root of the work tree."""
        return Git(Path(self.git("rev-parse", "--show-toplevel").rstrip("\n")))

    @cached_property
    def prefix(self) -> str:
        """The project's path in the work tree: empty, or with a slash at its end."""
        return self.git("rev-parse", "--show-prefix").rstrip("\n")

    @property
    def head_tree(self) -> str:
        """The tree of HEAD."""
        return self.root("rev-parse", "HEAD^{tree}").strip()

    @property
    def give_up(self) -> str:
        """The command that takes an update back, and nothing else."""
        if self.prefix:  # other parts of the repository can have changes
            return "git restore --source=HEAD --staged --worktree -- ."
        return "git reset --hard"

    def git_path(self, name: str) -> Path:
        """Return the path of a file in the git directory."""
        return self.folder / self.git("rev-parse", "--git-path", name).rstrip("\n")

    @cached_property
    def answers(self) -> dict[str, Any]:
        """The contents of the answers file.

        Raises:
            PrewiredError: the file is missing, damaged, or of a release before 0.8.
        """
        file = self.folder / ANSWERS
        restore = f"restore it with `git checkout HEAD -- {ANSWERS}` or from an older commit."
        try:
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise PrewiredError(
                f"{self.folder} is no service of this template: {ANSWERS} is missing. "
                "Change to the folder of the service."
            ) from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            raise PrewiredError(f"{ANSWERS} cannot be read: {restore}") from None
        if not isinstance(found, dict):
            raise PrewiredError(f"{ANSWERS} contains no answers: {restore}")
        if "_answered" not in found:
            raise PrewiredError(
                "Services of releases before 0.8 cannot be updated: create a new one, move your "
                "features, tests and migrations into it, and follow the guide at the end of the "
                "template's CHANGELOG.md."
            )
        answered = found["_answered"]
        if not isinstance(answered, list):
            raise PrewiredError(f"{ANSWERS} has damaged lines: {restore}")
        lost = {"_src_path", "_commit", *map(str, answered)} - found.keys()
        if lost:
            raise PrewiredError(f"{ANSWERS} lacks {', '.join(sorted(lost))}: {restore}")
        if not isinstance(found["_src_path"], str) or not isinstance(found["_commit"], str):
            raise PrewiredError(f"{ANSWERS} has damaged lines: {restore}")
        return found

    def has(self, path: str) -> bool:
        """Return whether git has a file or a folder of the project."""
        return self.git.succeeds("cat-file", "-e", f"HEAD:./{path}")

    def check_git(self) -> None:
        """Check that git works here.

        Raises:
            PrewiredError: git is too old, or there is no repository.
        """
        self.git.check_version()
        if not self.git.succeeds("rev-parse", "--is-inside-work-tree"):
            raise PrewiredError(
                f"{self.folder} is not in a git repository: run `git init`, commit, and try again."
            )

    def check(self) -> None:
        """Check that git has the whole project.

        Raises:
            PrewiredError: git has not, or the answers file is damaged.
        """
        _ = self.answers
        if not self.has(ANSWERS):
            raise PrewiredError(
                f"git does not track {ANSWERS} here, so that changes could be lost: "
                "commit the service to its own repository first."
            )

    def check_clean(self) -> None:
        """Check that no work in progress could be mixed with an update.

        Raises:
            PrewiredError: there are changes that are not committed, or a merge is in progress.
        """
        for name, action in UNFINISHED.items():
            if self.git_path(name).exists():
                raise PrewiredError(f"A {action} is in progress: finish or abort it first.")
        self._check_lock_of_git()
        changed = self.git("status", "--porcelain", "-z", "--untracked-files=no", "--", ".")
        if changed:
            names = [entry[3:] for entry in changed.split("\0") if entry[2:3] == " "]
            raise PrewiredError(
                f"There are changes that are not committed: {listed(names)}. "
                "Commit or stash them first."
            )

    def _check_lock_of_git(self) -> None:
        lock = self.git_path("index.lock")
        if lock.exists():
            raise PrewiredError(
                f"Another git command is running here. If one was killed, delete {lock}."
            )

    def changes_between(self, before: str, after: str) -> dict[str, str]:
        """Return the files that differ between two trees, with git's letter: A, D, M or T."""
        shown = self.root("diff-tree", "-r", "-z", "--name-status", "--no-renames", before, after)
        parts = shown.split("\0")
        return dict(zip(parts[1::2], parts[0::2], strict=False))

    def objects_in(self, tree: str, names: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Return the mode and the object of each of these files that a tree has."""
        wanted, found = set(names), {}
        for entry in filter(None, self.root("ls-tree", "-r", "-z", tree).split("\0")):
            facts, _, name = entry.partition("\t")
            if name in wanted:
                mode, _, identity = facts.split()
                found[name] = (mode, identity)
        return found

    def objects_on_disk(self, names: Iterable[str]) -> dict[str, str]:
        """Return the object that git would make of each of these files that exists.

        What is beyond a symbolic link does not count, nor do folders.
        """
        found, plain = {}, []
        for name in names:
            file = self.root.folder / name
            if any((self.root.folder / folder).is_symlink() for folder in Path(name).parents):
                continue
            if file.is_symlink():
                target = str(file.readlink())
                found[name] = self.root("hash-object", "--stdin", given=target).strip()
            elif file.is_file() and {"\n", '"'} & {*name}:
                found[name] = self.root("hash-object", f"--path={name}", "--", name).strip()
            elif file.is_file():
                plain.append(name)
        if plain:
            given = "".join(f"{name}\n" for name in plain)
            hashed = self.root("hash-object", "--stdin-paths", given=given).split()
            found |= dict(zip(plain, hashed, strict=True))
        return found

    @contextmanager
    def journal(self, step: Step) -> Iterator[None]:
        """Note what an update is going to do, so that it can be undone if the process is killed.

        Raises:
            PrewiredError: another update is running.
        """
        path = self.git_path(JOURNAL)
        try:
            file = path.open("x", encoding="ascii")
        except FileExistsError:
            raise PrewiredError(RUNNING) from None
        with file:
            # Another command could have taken the empty file for one that is left over.
            if not _lock(file.fileno()) or not path.exists():
                raise PrewiredError(RUNNING)
            json.dump(asdict(step), file)
            file.flush()
            try:
                yield
            except HalfDoneError:
                raise
            except PrewiredError:
                _remove(file, path)
                raise
            _remove(file, path)

    def recover(self) -> bool:
        """Undo an update that was killed while it changed the work tree.

        Returns:
            Whether there was one.

        Raises:
            PrewiredError: a file has been changed since, or git or the update is still running.
        """
        path = self.git_path(JOURNAL)
        try:
            file = path.open("r+", encoding="ascii")
        except FileNotFoundError:
            return False
        with file:
            if not _lock(file.fileno()):
                raise PrewiredError(RUNNING)
            self._check_lock_of_git()
            text = file.read()
            step = Step(**json.loads(text)) if text else None
            # Without a note, nothing was changed; after a commit, the owner has gone on.
            is_undone = step and self.head_tree == step.before
            if step and is_undone and (changed := self.restore(step)):
                raise PrewiredError(
                    f"An update was interrupted, and {listed(changed)} changed since: save your "
                    f"changes elsewhere, run `{self.give_up}`, and try again."
                )
            _remove(file, path)
        return bool(is_undone)

    def restore(self, step: Step) -> list[str]:
        """Undo what an update wrote, as far as it came, and leave all other files alone.

        Returns:
            The files that have changed since; if there are any, nothing is undone.
        """
        names = {*self.changes_between(step.before, step.after), *step.conflicts}
        old, new = self.objects_in(step.before, names), self.objects_in(step.after, names)
        disk = self.objects_on_disk(names)
        changed = [
            name
            for name in sorted(names)
            if os.path.lexists(self.root.folder / name)
            and disk.get(name) not in {old.get(name, ("", ""))[1], new.get(name, ("", ""))[1]}
            and not self._is_cut_off(name, new.get(name))
        ]
        if changed:
            return changed
        # Resetting the whole index and work tree would lose changes of the owner elsewhere.
        width = len(step.before)
        entries = [f"0 {'0' * width}\t{name}\0" for name in names]
        entries += [f"{mode} {identity}\t{name}\0" for name, (mode, identity) in old.items()]
        self.root("update-index", "-z", "--index-info", given="".join(entries))
        for name in names - old.keys():
            if name in disk:
                (self.root.folder / name).unlink()
                _remove_empty(Path(name).parent, self.root.folder)
        lost = [name for name in old if disk.get(name) != old[name][1]]
        kept = "".join(f"{name}\0" for name in lost)
        self.root("checkout-index", "--force", "-z", "--stdin", given=kept)
        self.root.run("update-index", "-q", "--refresh")
        return []

    def _is_cut_off(self, name: str, entry: tuple[str, str] | None) -> bool:
        """Return whether a file is the beginning of the one that an update was writing."""
        file = self.root.folder / name
        if entry is None or file.is_symlink() or not file.is_file():
            return False
        written = self.root.run("cat-file", "blob", entry[1]).stdout
        return written.startswith(file.read_bytes().decode("utf-8", "surrogateescape"))


def _lock(descriptor: int) -> bool:
    """Lock a file until it is closed or the process ends; return False if it is locked."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(file: TextIO, path: Path) -> None:
    """Remove the journal, which is open."""
    if fcntl is None:  # Windows removes no open file; an empty journal means the same as none
        file.truncate(0)
        file.close()
    path.unlink()


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder, relative to the root, and those above it, as far as they are empty."""
    while folder != Path():
        try:
            (root / folder).rmdir()
        except OSError:
            return
        folder = folder.parent


def listed(names: list[str], shown: int = 5) -> str:
    """Return the first names of a list, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
