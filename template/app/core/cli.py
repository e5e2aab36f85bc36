"""The command line: `uv run <slug> --help`."""

import sys
from typing import Annotated

import typer
from alembic import command
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from app.core import features
from app.core.dev import running
from app.core.dialect import is_unavailable
from app.core.errors import error_reason
from app.core.logs import configure_logging
from app.core.migrations import alembic_config
from app.core.settings import CoreSettings

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
db = typer.Typer(no_args_is_help=True, help="Create and change the database's tables.")
cli.add_typer(db, name="db")
for name, commands in features.commands().items():
    cli.add_typer(commands, name=name)


@cli.callback()
def configure(context: typer.Context) -> None:
    """Operate the service."""
    # Help must work before anything is configured; a group without a command prints its help.
    if "--help" in sys.argv or len(sys.argv) == 2 or context.invoked_subcommand == "dev":
        return
    running.use_running_database()
    configure_logging(CoreSettings.load())


@cli.command()
def dev(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.")] = 8000,
) -> None:
    """Serve with a development database, and restart when the code changes."""
    from app.core.dev.serving import serve  # uvicorn takes long to import

    serve(host, port)


@db.command()
def upgrade(
    revision: Annotated[str, typer.Argument(help="The revision to upgrade to.")] = "head",
) -> None:
    """Apply migrations."""
    command.upgrade(alembic_config(), revision)


@db.command(context_settings={"ignore_unknown_options": True})  # -1 is a revision
def downgrade(
    revision: Annotated[str, typer.Argument(help="The revision to downgrade to.")] = "-1",
) -> None:
    """Revert migrations, by default the last one."""
    command.downgrade(alembic_config(), revision)


@db.command()
def revision(
    message: Annotated[str, typer.Option("--message", "-m", help="What the migration does.")],
    empty: Annotated[
        bool, typer.Option("--empty", help="Do not compare the models with the database.")
    ] = False,
) -> None:
    """Write a migration for the changes in the models."""
    command.revision(alembic_config(), message, autogenerate=not empty)


@db.command()
def check() -> None:
    """Fail if the models have changes without a migration."""
    command.check(alembic_config())


@db.command()
def current() -> None:
    """Show the database's revision."""
    command.current(alembic_config(), verbose=True)


@db.command()
def history() -> None:
    """List the revisions, newest first."""
    command.history(alembic_config(), indicate_current=True)


def main() -> None:
    """Run a command; report a user's mistake in one sentence, with exit code 1."""
    try:
        cli()
    except CommandError as error:
        raise SystemExit(f"Error: {error}") from None
    except DBAPIError as error:
        what, advice = (
            ("is busy or cannot be reached", "check DATABASE_URL and that the database is up")
            if is_unavailable(error)
            else ("rejected the operation", "check DATABASE_URL and the migrations")
        )
        raise SystemExit(f"Error: The database {what} ({error_reason(error)}): {advice}.") from None
