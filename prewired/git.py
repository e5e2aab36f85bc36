"""Runs git, independently of the user's settings that change what it does."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from prewired.errors import PrewiredError

KEPT = (
    *("GIT_ASKPASS", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_PROXY_COMMAND"),
    *("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY", "GIT_SSL_NO_VERIFY"),
    *("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"),
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_TERMINAL_PROMPT"),
)
"""Who commits, and access to remote repositories; others, such as GIT_DIR, change what git does."""

SETTINGS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.quotePath": "false",
    "core.safecrlf": "false",
    "core.splitIndex": "false",
    "core.untrackedCache": "false",
    "merge.conflictStyle": "merge",
    "merge.directoryRenames": "false",
    "merge.renames": "true",
}
"""Replaces the user's settings. The others apply, in particular credentials."""

AS_RENDERED = {
    "core.attributesFile": os.devnull,
    "core.autocrlf": "false",
    "core.sparseCheckout": "false",
}
"""Additional settings for adding rendered files."""

GIVEN = [
    (os.environ[f"GIT_CONFIG_KEY_{number}"], os.environ.get(f"GIT_CONFIG_VALUE_{number}", ""))
    for number in range(int(os.environ.get("GIT_CONFIG_COUNT") or 0))
    if f"GIT_CONFIG_KEY_{number}" in os.environ
]
"""The user's own settings in the environment; they can be needed to reach the template."""

NOBODY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "prewired"), ("EMAIL", "prewired@localhost"))
}
"""Identity for temporary commits; the user may have none."""


OLDEST = (2, 38)
"""The first version with `git merge-tree --write-tree`."""


class GitError(PrewiredError):
    """Git failed; the message contains what it printed."""


def environment(
    settings: Mapping[str, str] = {}, variables: Mapping[str, str] = {}
) -> dict[str, str]:
    """Return the environment for git, with additional settings and variables."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name in KEPT
    }
    # The last one of a name counts.
    pairs = [*GIVEN, *SETTINGS.items(), *settings.items()]
    counted = {"GIT_CONFIG_COUNT": str(len(pairs))}
    for number, (name, value) in enumerate(pairs):
        counted[f"GIT_CONFIG_KEY_{number}"] = name
        counted[f"GIT_CONFIG_VALUE_{number}"] = value
    return {**kept, **counted, "LC_ALL": "C", **variables}


class Git:
    """Git in one folder."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] = {},
        variables: Mapping[str, str] = {},
        *,
        detached: bool = False,
    ) -> None:
        """Use `folder`, with additional settings and environment variables.

        Ctrl-C does not reach git if it is detached; but then it cannot ask for a password.
        """
        self.folder = folder
        self._detached = detached
        self._environment = environment(settings, variables)

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run git; `given` is its standard input."""
        try:
            finished = subprocess.run(
                ["git", *arguments],
                cwd=self.folder,
                env=self._environment,
                # Not in text mode, which would replace the line endings of files.
                input=given.encode("utf-8", "surrogateescape"),
                capture_output=True,
                check=False,
                start_new_session=self._detached,
            )
        except FileNotFoundError:
            raise PrewiredError("git is not installed: install it and try again.") from None
        output = [
            part.decode("utf-8", "surrogateescape") for part in (finished.stdout, finished.stderr)
        ]
        return subprocess.CompletedProcess(finished.args, finished.returncode, *output)

    def __call__(self, *arguments: str, given: str = "") -> str:
        """Run git and return its output.

        Raises:
            GitError: git failed.
        """
        finished = self.run(*arguments, given=given)
        if finished.returncode:
            said = (finished.stderr or finished.stdout).strip()
            raise GitError(f"git {arguments[0]} failed: {said}")
        return finished.stdout

    def succeeds(self, *arguments: str) -> bool:
        """Run git and return whether it succeeded."""
        return self.run(*arguments).returncode == 0

    def check_version(self) -> None:
        """Check that git has what an update needs.

        Raises:
            PrewiredError: it is too old.
        """
        found = re.findall(r"\d+", self("version"))[:2]
        if tuple(map(int, found)) < OLDEST:
            raise PrewiredError(
                f"git {'.'.join(found)} is too old: install git {OLDEST[0]}.{OLDEST[1]} or newer."
            )
