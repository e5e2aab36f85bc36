"""The output, files and Alembic calls of the service's commands."""

from io import StringIO
from pathlib import Path

import pytest
from alembic.config import Config
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError, OperationalError
from structlog.testing import capture_logs

from app.core import CoreSettings, cli
from app.core.engine import create_engine
from app.core.types import UnstorableError
from tests.proofs.core.test_errors import AwayError
from tests.proofs.kit import Cli, table_names


@pytest.fixture
def revisions(migration_config: Config, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the migrations that the commands use."""
    monkeypatch.setattr(cli, "alembic_config", lambda: migration_config)
    return Path(migration_config.get_main_option("script_location") or "", "versions")


@pytest.fixture
def output(migration_config: Config) -> StringIO:
    """The output of Alembic."""
    migration_config.stdout = StringIO()
    return migration_config.stdout


async def write(run: Cli, url: URL, message: str) -> None:
    assert await run("db", "revision", "--empty", "-m", message, url=url) == 0
    assert await run("db", "upgrade", url=url) == 0


@pytest.mark.usefixtures("revisions")
async def test_downgrade_undoes_one_revision(
    run: Cli, scratch_database: URL, output: StringIO
) -> None:
    await write(run, scratch_database, "first of two")
    await write(run, scratch_database, "second of two")

    assert await run("db", "downgrade", url=scratch_database) == 0

    assert await run("db", "current", url=scratch_database) == 0
    assert "first of two" in output.getvalue()
    assert "second of two" not in output.getvalue()


@pytest.mark.usefixtures("revisions")
async def test_history_marks_the_current_revision(
    run: Cli, scratch_database: URL, output: StringIO
) -> None:
    await write(run, scratch_database, "first of two")
    await write(run, scratch_database, "second of two")
    assert await run("db", "downgrade", url=scratch_database) == 0

    assert await run("db", "history", url=scratch_database) == 0

    lines = output.getvalue().splitlines()
    second, first = [line for line in lines if line.endswith("of two")]
    assert "(current)" in first
    assert "(current)" not in second


@pytest.mark.usefixtures("revisions")
async def test_current_shows_revision_details(
    run: Cli, scratch_database: URL, output: StringIO
) -> None:
    await write(run, scratch_database, "first of two")

    assert await run("db", "current", url=scratch_database) == 0

    shown = output.getvalue()
    assert "(head)" in shown
    assert "Path: " in shown


@pytest.mark.parametrize("arguments", [(), ("--empty",)])
async def test_revision_compares_models_unless_empty(
    run: Cli, scratch_database: URL, revisions: Path, arguments: tuple[str, ...]
) -> None:
    assert await run("db", "upgrade", url=scratch_database) == 0
    engine = create_engine(CoreSettings(database_url=scratch_database))
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE forgotten (id INTEGER PRIMARY KEY)"))
    await engine.dispose()

    outcome = await run("db", "revision", *arguments, "--message", "compared", url=scratch_database)

    assert outcome == 0
    (written,) = revisions.glob("*_compared.py")
    assert ("forgotten" in written.read_text()) == (not arguments)


async def test_check_fails_for_models_without_a_migration(run: Cli, scratch_database: URL) -> None:
    assert await run("db", "upgrade", url=scratch_database) == 0
    engine = create_engine(CoreSettings(database_url=scratch_database))
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE forgotten (id INTEGER PRIMARY KEY)"))
    assert "forgotten" in await table_names(engine)
    await engine.dispose()

    outcome = await run("db", "check", url=scratch_database)

    assert str(outcome).startswith("Error: New upgrade operations detected")


async def test_revision_requires_a_message(run: Cli, scratch_database: URL) -> None:
    assert await run("db", "revision", url=scratch_database) == 2


@pytest.mark.parametrize("arguments", [(), ("db",)])
async def test_help_is_shown_without_a_command(
    run: Cli, scratch_database: URL, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(*arguments, url=scratch_database) in (0, 2)

    printed = capsys.readouterr()
    assert "Usage: " in printed.out + printed.err
    assert "Missing command" not in printed.out + printed.err
    assert "--install-completion" not in printed.out + printed.err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OperationalError("SELECT 1", {}, AwayError("gone\nfar"), connection_invalidated=True),
            "Error: The database is busy or cannot be reached (gone): check DATABASE_URL",
        ),
        (
            DBAPIError(None, None, Exception("who?\nnobody")),
            "Error: The database is busy or cannot be reached (who?): check DATABASE_URL",
        ),
        (
            DBAPIError("SELECT 1", {}, Exception("no\nnever")),
            "Error: The database rejected a statement (no): LOG_LEVEL=DEBUG shows where.",
        ),
    ],
)
def test_database_error_prints_its_first_line(
    monkeypatch: pytest.MonkeyPatch, error: DBAPIError, words: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "cli", fail)
    with capture_logs() as logs, pytest.raises(SystemExit) as end:
        cli.main()

    assert str(end.value).startswith(words)
    assert end.value.__suppress_context__
    assert [(entry["log_level"], entry["exc_info"]) for entry in logs] == [("debug", error)]


def test_value_that_cannot_be_stored_prints_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise UnstorableError("title has more than 200 characters.")

    monkeypatch.setattr(cli, "cli", fail)
    with pytest.raises(SystemExit) as end:
        cli.main()

    assert str(end.value) == "Error: title has more than 200 characters."


@pytest.mark.usefixtures("no_settings")
@pytest.mark.parametrize(
    ("arguments", "configured"), [(["current"], 1), (["current", "--help"], 0), ([], 0)]
)
def test_help_does_not_configure_logs(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], configured: int
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(CoreSettings, "load", lambda: "the settings")
    monkeypatch.setattr(cli, "configure_logging", calls.append)
    monkeypatch.setattr("app.core.cli.command.current", lambda *_, **__: None)
    monkeypatch.setattr("sys.argv", ["service", "db", *arguments])

    with pytest.raises(SystemExit):
        cli.main()

    assert calls == ["the settings"] * configured


def test_traceback_hides_local_variables() -> None:
    """They can contain passwords."""
    assert not cli.cli.pretty_exceptions_show_locals
