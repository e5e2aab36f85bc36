"""Runs the migrations that are not released yet, and prints their SQL.

`uv run python -m tests.core.new_migrations [<commit>]` creates a scratch database with the
migrations of a commit, by default the one with the latest tag. Then it applies the migrations
that the commit does not have, compares the result with the models, and reverts them.
"""

import asyncio
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, event

from app.core.engine import open_engine
from app.core.migrations import alembic_config, heads, refuse_branches
from app.core.settings import DatabaseSettings
from tests.core.database_server import database_server, temporary_database
from tests.core.isolation import VERSIONS

READS = ("SELECT", "SHOW", "DESCRIBE", "PRAGMA")
"""Statements with which Alembic looks at the database."""


def main() -> None:
    """Run the migrations since the commit on the command line, and print their SQL."""
    commit = sys.argv[1] if len(sys.argv) > 1 else _latest_tag()
    with TemporaryDirectory() as folder, _server() as server:
        released = _extract(commit, Path(folder)) if commit else None
        try:
            asyncio.run(_run(server, released))
        except CommandError as error:
            raise SystemExit(f"Error: {error}") from None


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], capture_output=True, check=False)  # noqa: S607
    if done.returncode:
        raise SystemExit(f"Error: {done.stderr.decode().strip()}")
    return done.stdout


def _latest_tag() -> str | None:
    """Return the latest tag of this branch, or None if there is none."""
    tags = _git("tag", "--merged", "HEAD", "--sort=-creatordate").decode().split()
    return tags[0] if tags else None


def _extract(commit: str, folder: Path) -> Path | None:
    """Copy the migrations of a commit into a folder.

    Returns:
        The path of the copy, or None if the commit has no migrations.
    """
    if b".py" not in _git("ls-tree", "--name-only", commit, "migrations/versions/"):
        return None
    archive = BytesIO(_git("archive", "--format=tar", commit, "migrations"))
    with tarfile.open(fileobj=archive) as files:
        files.extractall(folder, filter="data")
    return folder / "migrations"


@contextmanager
def _server() -> Iterator[URL]:
    """Yield the URL of TEST_DATABASE_URL, or of a server that runs until the exit."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield DatabaseSettings.model_validate({"database_url": url}).database_url
    else:
        with database_server() as started:
            yield started


async def _run(server: URL, released: Path | None) -> None:
    async with (
        temporary_database(server) as url,
        open_engine(DatabaseSettings(database_url=url)) as engine,
        engine.connect() as connection,
    ):
        await connection.run_sync(_migrate, released)


def _migrate(connection: Connection, released: Path | None) -> None:
    config = alembic_config(connection)
    config.stdout = sys.stderr
    refuse_branches(config)
    done: list[str] = []
    if released:
        old = alembic_config(connection)
        old.set_main_option("script_location", str(released).replace("%", "%%"))
        command.upgrade(old, "heads")
        done = _revisions(old)
    new = [revision for revision in _revisions(config) if revision not in done]
    for revision in heads(old) if released else []:
        _refuse_earlier(config, revision, new)

    statements: list[tuple[bool, str]] = []

    def note(conn: Connection, statement: str, **_: object) -> None:
        if not statement.lstrip().upper().startswith(READS) and VERSIONS not in statement:
            options = conn.get_execution_options()
            statements.append((options.get("isolation_level") != "AUTOCOMMIT", statement.strip()))

    event.listen(connection, "before_cursor_execute", note, named=True)
    for revision in new:
        command.upgrade(config, revision)
    event.remove(connection, "before_cursor_execute", note)
    _print(statements)

    command.check(config)
    scripts = ScriptDirectory.from_config(config)
    for revision in reversed(new):
        # One at a time, because others can be in parallel. A merge has several ways back.
        before = scripts.get_revision(revision).down_revision
        command.downgrade(config, before[0] if isinstance(before, tuple) else f"{revision}@-1")


def _refuse_earlier(config: Config, head: str, new: list[str]) -> None:
    """Fail if a new migration comes before a released one."""
    for script in ScriptDirectory.from_config(config).iterate_revisions(head, "base"):
        if script.revision in new:
            raise CommandError(
                f"Migration {script.revision} comes before {head}, which is released, so deployed "
                f"databases would never run it: set its down_revision to {head}."
            )


def _revisions(config: Config) -> list[str]:
    """Return the IDs of the migrations, oldest first."""
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    return [script.revision for script in scripts][::-1]


def _print(statements: list[tuple[bool, str]]) -> None:
    """Print statements, and where their transactions begin and end."""
    for in_transaction, group in groupby(statements, lambda pair: pair[0]):
        texts = [text for _, text in group]
        if in_transaction:
            texts = ["BEGIN", *texts, "COMMIT"]
        for text in texts:
            end = "\n;" if "--" in text.rpartition("\n")[2] else ";"  # a comment would hide it
            print(f"{text}{end}\n")  # noqa: T201


if __name__ == "__main__":
    main()
