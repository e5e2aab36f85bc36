"""Run by a rendered project's Python: run pytest again and again, with the libraries imported.

Each line read is a JSON list of pytest's arguments, run in a fork and answered with the exit code;
what the run prints goes to standard error. The end of the input ends the process.
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
"""What takes time to import; nothing of the project, which changes from one run to the next."""


def main() -> None:
    """Answer until the input ends."""
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    pytest = importlib.import_module("pytest")
    # pytest would rewrite the assertions of plugins that are imported already.
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
