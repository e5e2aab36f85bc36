"""Start the database server of a project's tests; executed by the rendered project's Python.

The first output line is the server's URL. Each input line is answered with the URL of a new, empty
database. The end of the input drops the databases and stops the server.
"""

import asyncio
import importlib
import sys
from contextlib import AsyncExitStack
from pathlib import Path


async def main() -> None:
    """Serve requests until the end of the input."""
    sys.path.insert(0, str(Path.cwd()))
    module = importlib.import_module("tests.core.database_server")
    with module.database_server() as server:
        print(server.render_as_string(hide_password=False), flush=True)
        async with AsyncExitStack() as databases:
            for _ in sys.stdin:
                url = await databases.enter_async_context(module.temporary_database(server))
                print(url.render_as_string(hide_password=False), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
