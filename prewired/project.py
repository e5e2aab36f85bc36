"""A service in a git work tree, and the reasons not to update it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from prewired.errors import PrewiredError
from prewired.git import Git

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
                "features, tests and migrations into it, and see 0.8.0 in the changelog."
            )
        lost = {"_src_path", "_commit", *found["_answered"]} - found.keys()
        if lost:
            raise PrewiredError(f"{ANSWERS} lacks {', '.join(sorted(lost))}: {restore}")
        return found

    def check(self) -> None:
        """Check that git has the whole project, and undo an update that was interrupted.

        Raises:
            PrewiredError: git has not, or the answers file is damaged.
        """
        self.git.check_version()
        if not self.git.succeeds("rev-parse", "--is-inside-work-tree"):
            raise PrewiredError(
                f"{self.folder} is not in a git repository: run `git init`, commit, and try again."
            )
        self.recover()
        _ = self.answers
        if not self.git.succeeds("cat-file", "-e", f"HEAD:./{ANSWERS}"):
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
        changed = self.git("status", "--porcelain", "-z", "--untracked-files=no", "--", ".")
        if changed:
            names = [entry[3:] for entry in changed.split("\0") if entry[2:3] == " "]
            raise PrewiredError(
                f"There are changes that are not committed: {_listed(names)}. "
                "Commit or stash them first."
            )

    def recover(self) -> None:
        """Undo an update that was killed while it changed the work tree.

        Raises:
            PrewiredError: a file has been changed since.
        """
        journal = self.git_path(JOURNAL)
        if not journal.exists():
            return
        before, after = journal.read_text(encoding="ascii").split()
        if self.root("rev-parse", "HEAD^{tree}").strip() != before:  # the owner went on since
            journal.unlink()
            return
        listed = self.root("diff-tree", "-r", "-z", "--name-only", "--no-renames", before, after)
        changed = [
            name
            for name in filter(None, listed.split("\0"))
            if not self._is_of_update(name, before, after)
        ]
        if changed:
            raise PrewiredError(
                f"An update was interrupted, and {_listed(changed)} changed since: save your "
                "changes elsewhere, run `git reset --hard`, and try again."
            )
        self.root("read-tree", "--reset", "-u", before)
        journal.unlink()

    def _is_of_update(self, name: str, before: str, after: str) -> bool:
        """Return whether a file is as before or after the update, or was being written."""
        file = self.root.folder / name
        if not file.is_file():
            return not file.exists()
        found = self.root("hash-object", f"--path={name}", "--", str(file)).strip()
        known = [
            self.root.run("rev-parse", f"{tree}:{name}").stdout.strip() for tree in (before, after)
        ]
        if found in known:
            return True
        written = self.root.run("cat-file", "blob", f"{after}:{name}").stdout
        return written.startswith(file.read_bytes().decode("utf-8", "surrogateescape"))


def _listed(names: list[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
