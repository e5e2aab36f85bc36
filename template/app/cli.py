"""The command line of the service: `uv run <name> --help`."""

import sys
from typing import Annotated

import typer
from alembic import command
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from app import features
from app.engine import is_unavailable
from app.logs import configure_logging
from app.schema import alembic_config
from app.settings import load_settings

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
db = typer.Typer(no_args_is_help=True, help="Create and change the database's tables.")
cli.add_typer(db, name="db")
for name, commands in features.commands().items():
    cli.add_typer(commands, name=name)


@cli.callback()
def configure() -> None:
    """Operate the service."""
    # Help is for those, too, who have no settings yet.
    if "--help" not in sys.argv:
        configure_logging(load_settings())


@db.command()
def upgrade(
    revision: Annotated[str, typer.Argument(help="Up to which revision.")] = "head",
) -> None:
    """Migrate the database up."""
    command.upgrade(alembic_config(), revision)


@db.command(context_settings={"ignore_unknown_options": True})  # -1 is a revision
def downgrade(
    revision: Annotated[str, typer.Argument(help="Down to which revision.")] = "-1",
) -> None:
    """Migrate the database down, by one revision unless told otherwise."""
    command.downgrade(alembic_config(), revision)


@db.command()
def revision(
    message: Annotated[
        str, typer.Option("--message", "-m", help="What the migration does, in a few words.")
    ],
    empty: Annotated[
        bool, typer.Option("--empty", help="Do not compare the models with the database.")
    ] = False,
) -> None:
    """Write a new migration for what changed in the models."""
    command.revision(alembic_config(), message, autogenerate=not empty)


@db.command()
def check() -> None:
    """Fail if the models have changes that no migration has."""
    command.check(alembic_config())


@db.command()
def current() -> None:
    """Show the revision that the database has."""
    command.current(alembic_config(), verbose=True)


@db.command()
def history() -> None:
    """List the revisions, newest first."""
    command.history(alembic_config(), indicate_current=True)


def main() -> None:
    """Run a command; a user's mistake ends in one sentence and exit code 1."""
    try:
        cli()
    except CommandError as error:
        raise SystemExit(f"Error: {error}") from None
    except DBAPIError as error:
        reason = str(error.orig).splitlines()[0]
        if is_unavailable(error):
            advice = "check DATABASE_URL, and that the database is up"
            raise SystemExit(
                f"Error: The database cannot be reached ({reason}): {advice}."
            ) from None
        advice = "check DATABASE_URL, and that its migrations are right and were run"
        raise SystemExit(f"Error: The database refused ({reason}): {advice}.") from None
