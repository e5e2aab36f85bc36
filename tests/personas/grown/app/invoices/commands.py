"""Commands of the feature."""

import typer

from app.settings import Settings

commands = typer.Typer(no_args_is_help=True, help="Manage invoices.")


@commands.callback()
def invoices() -> None:
    """Keep `currency` a subcommand."""


@commands.command()
def currency() -> None:
    """Show the currency of new invoices."""
    typer.echo(Settings.load().invoice_currency)
