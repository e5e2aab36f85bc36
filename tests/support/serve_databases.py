"""Run by a rendered project's Python: start the server that its tests would start.

The first line printed is the server's URL. Each line read is answered with the URL of a new and
empty database. The end of the input drops the databases and stops the server.
"""

import asyncio
import importlib
import sys
from contextlib import AsyncExitStack
from pathlib import Path


async def main() -> None:
    """Answer until the input ends."""
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
