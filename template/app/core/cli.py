"""Command-line interface: `uv run <slug> --help`."""

import sys
from typing import Annotated

import structlog
import typer
from alembic import command
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, StatementError

from app.core import features
from app.core.dev import running
from app.core.dialect import is_unavailable
from app.core.errors import error_reason
from app.core.logs import configure_logging
from app.core.migrations import alembic_config, heads, refuse_branches
from app.core.settings import CoreSettings
from app.core.types import UnstorableError

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
db = typer.Typer(no_args_is_help=True, help="Manage the database schema.")
cli.add_typer(db, name="db")
for name, commands in features.commands().items():
    cli.add_typer(commands, name=name)


@cli.callback()
def configure(context: typer.Context) -> None:
    """Manage the service."""
    # Help must work without any settings. A group without a command prints its help, too.
    if "--help" in sys.argv or len(sys.argv) == 2 or context.invoked_subcommand == "dev":
        return
    running.use_running_database()
    configure_logging(CoreSettings.load())


@cli.command()
def dev(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
) -> None:
    """Run a development server with a database, and restart it when the code changes."""
    from app.core.dev import serving  # uvicorn is slow to import

    serving.serve(host, port)


@cli.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",  # noqa: S104
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
    workers: Annotated[
        int, typer.Option(help="Number of processes.", min=1, envvar="WEB_CONCURRENCY")
    ] = 1,
) -> None:
    """Run the service in production."""
    from app.core import serving  # uvicorn is slow to import

    serving.serve(host, port, workers)


@db.command()
def upgrade(
    revision: Annotated[str, typer.Argument(help="Revision to upgrade to.")] = "head",
) -> None:
    """Apply migrations."""
    config = alembic_config()
    if revision == "head":
        refuse_branches(config)
    command.upgrade(config, revision)


@db.command(context_settings={"ignore_unknown_options": True})  # -1 is a revision
def downgrade(
    revision: Annotated[str, typer.Argument(help="Revision to downgrade to.")] = "-1",
) -> None:
    """Revert migrations; by default, only the latest."""
    try:
        command.downgrade(alembic_config(), revision)
    except CommandError as error:
        if str(error) != "Ambiguous walk":
            raise
        raise CommandError(
            "The latest migration merges others: name the revision to downgrade to; "
            "`db history` lists them."
        ) from None


@db.command()
def revision(
    message: Annotated[str, typer.Option("--message", "-m", help="Description of the migration.")],
    empty: Annotated[
        bool, typer.Option("--empty", help="Create an empty migration to fill in.")
    ] = False,
) -> None:
    """Create a migration from the changes in the models."""
    config = alembic_config()
    refuse_branches(config)
    command.revision(config, message, autogenerate=not empty)


@db.command()
def merge(
    message: Annotated[
        str, typer.Option("--message", "-m", help="Description of the migration.")
    ] = "merge",
) -> None:
    """Create a migration that merges migrations written in parallel."""
    config = alembic_config()
    if len(heads(config)) < 2:
        raise CommandError("No migrations were written in parallel.")
    command.merge(config, "heads", message)


@db.command()
def check() -> None:
    """Fail if the models have changes without a migration."""
    config = alembic_config()
    refuse_branches(config)
    command.check(config)


@db.command()
def current() -> None:
    """Show the current revision of the database."""
    command.current(alembic_config(), verbose=True)


@db.command()
def history() -> None:
    """List the revisions, newest first."""
    command.history(alembic_config(), indicate_current=True)


def main() -> None:
    """Run a command. Expected errors exit with status 1 and a one-line message."""
    try:
        cli()
    except (CommandError, UnstorableError) as error:
        raise SystemExit(f"Error: {error}") from None
    except DBAPIError as error:
        structlog.get_logger(__name__).debug("database error", exc_info=error)
        if error.statement is None or is_unavailable(error):
            what = "The database is busy or cannot be reached"
            advice = "check DATABASE_URL and that the database is up"
        else:
            what = "The database rejected a statement"
            advice = "LOG_LEVEL=DEBUG shows where"
        raise SystemExit(f"Error: {what} ({error_reason(error)}): {advice}.") from None
    except StatementError as error:
        if not isinstance(error.orig, UnstorableError):
            raise
        raise SystemExit(f"Error: {error.orig}") from None
