"""Run pytest repeatedly with libraries already imported; executed by a rendered project's Python.

Each input line is a JSON list of pytest arguments. It is run in a fork and answered with the exit
code; the output of the run goes to standard error. The process exits at the end of the input.
"""

import importlib
import json
import os
import sys
import warnings
from contextlib import suppress

LIBRARIES = (
    *("alembic.command", "fastapi", "httpx2", "polyfactory", "pydantic_settings", "pytest"),
    *("pytest_asyncio", "rich.console", "sqlalchemy.ext.asyncio", "structlog", "typer.testing"),
    *("aiosqlite", "asyncmy", "asyncpg"),
)
"""Slow imports. Nothing from the project, which changes between runs."""


def main() -> None:
    """Serve requests until the end of the input."""
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    pytest = importlib.import_module("pytest")
    # pytest cannot rewrite assertions in plugins that are already imported.
    warnings.simplefilter("ignore", pytest.PytestAssertRewriteWarning)
    for line in sys.stdin:
        arguments = ["-W", "ignore::pytest.PytestAssertRewriteWarning", *json.loads(line)]
        if child := os.fork():
            print(child, flush=True)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        else:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
            code = pytest.main(arguments)
            sys.stdout.flush()
            os._exit(code)


if __name__ == "__main__":
    main()
