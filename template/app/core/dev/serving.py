"""Serves the service for development, and restarts it when the code changes."""

import os
import signal
import socket
import sys
import threading
import time
from functools import partial

import typer
import uvicorn
from alembic import command
from uvicorn.supervisors import ChangeReload

from app.core.dev import running
from app.core.dev.database import private_database
from app.core.migrations import alembic_config
from app.core.settings import DatabaseSettings


def serve(host: str, port: int) -> None:
    """Migrate and serve until Ctrl-C, SIGTERM or SIGHUP; then stop the service and its database.

    Raises:
        SystemExit: the service or its database cannot be started.
    """
    if sys.platform == "win32":
        raise SystemExit(
            "Error: `dev` needs Linux or macOS. Set DATABASE_URL, and run `fastapi dev`."
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with running.claim(), _listen(host, port) as listener:
        if running.has_database_url():
            _migrate_and_serve(listener)
            return
        with private_database(running.FOLDER) as url:
            os.environ["DATABASE_URL"] = url.render_as_string(hide_password=False)
            try:
                _migrate_and_serve(listener)
            finally:
                # Further signals must not interrupt the stop of the database.
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # before what `create_server` adds
        raise SystemExit(
            f"Error: Port {port} of {host} cannot be used ({reason}): free it, "
            "or choose another with --port or --host."
        ) from None


def _migrate_and_serve(listener: socket.socket) -> None:
    running.use_development_settings()
    url = DatabaseSettings.load().database_url
    command.upgrade(alembic_config(), "head")
    host, port = listener.getsockname()
    address = f"http://{host}:{port}"
    running.describe(
        running.Running(os.getpid(), address, url.render_as_string(hide_password=False))
    )
    typer.echo(f"Service:  {address}\nDatabase: {url}\nPress Ctrl-C to stop.")
    config = uvicorn.Config(
        "app.asgi:app",
        reload=True,
        reload_dirs=[str(running.ROOT / "app")],
        reload_includes=["*.py", "*.txt", "*.html"],
    )
    ChangeReload(config, target=partial(_serve, config), sockets=[listener]).run()


def _serve(config: uvicorn.Config, sockets: list[socket.socket]) -> None:
    """Serve in a child process, which exits when its parent exits, even if it was killed."""
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    try:
        uvicorn.Server(config).run(sockets)
    except SystemExit as error:
        if error.code:
            typer.echo("The service did not start. Waiting for a change in app/.", err=True)
        raise


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
