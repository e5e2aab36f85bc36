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
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_TERMINAL_PROMPT"),
)
"""Variables for access to a remote repository; others, such as GIT_DIR, change what git acts on."""

SETTINGS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.quotePath": "false",
    "core.safecrlf": "false",
    "core.splitIndex": "false",
    "core.untrackedCache": "false",
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
    pairs = {**SETTINGS, **settings}
    counted = {"GIT_CONFIG_COUNT": str(len(pairs))}
    for number, (name, value) in enumerate(pairs.items()):
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
    ) -> None:
        """Use `folder`, with additional settings and environment variables."""
        self.folder = folder
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
                # Ctrl-C must not end git halfway.
                start_new_session=True,
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
