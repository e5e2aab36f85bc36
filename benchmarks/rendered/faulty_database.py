"""Run a database that breaks on demand; executed by a rendered project's Python.

The argument is an empty folder. The first output line is the URL. Each input line names a fault or
its end, and is answered with a line.
"""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))

from sqlalchemy import URL, NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from app.core.dev.database import private_database
from app.core.dialect import DRIVER
from app.core.engine import open_engine
from app.core.settings import DatabaseSettings

MANY = 500
"""More connections than the servers allow by default."""


class Program(subprocess.Popen[Any]):
    """A process that can be started again."""

    latest: "Program"

    def __init__(self, command: Any, **options: Any) -> None:
        super().__init__(command, **options)
        self.start = command, options
        Program.latest = self

    def descendants(self) -> list[int]:
        """Return this process and its children."""
        found = [self.pid]
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == self.pid:
                    found.append(int(entry.name))
        return found

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to this process and its children."""
        for pid in self.descendants():
            with suppress(ProcessLookupError):
                os.kill(pid, number)


class Faults:
    """The faults, by name; each has an end."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.stack = AsyncExitStack()
        self.file = Path(url.database or "")

    async def kill(self) -> None:
        """End the server without warning."""
        server = Program.latest
        server.signal_all(signal.SIGKILL)
        server.wait()

    async def start(self) -> None:
        """Start the server again, with the same data."""
        command, options = Program.latest.start
        null = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        Program(command, **{**options, **null})

    async def freeze(self) -> None:
        """Stop all processes of the server; the system still accepts connections."""
        Program.latest.signal_all(signal.SIGSTOP)

    async def thaw(self) -> None:
        """Let the server continue."""
        Program.latest.signal_all(signal.SIGCONT)

    async def lock(self) -> None:
        """Hold the locks of a transaction that somebody forgot."""
        settings = DatabaseSettings(_env_file=None, database_url=self.url)
        limits = {"database_idle_timeout": 0, "database_lock_timeout": 60}
        engine = await self.stack.enter_async_context(
            open_engine(settings.model_copy(update=limits))
        )
        connection = await self.stack.enter_async_context(engine.connect())
        await connection.execute(text("UPDATE songs SET artist = artist"))

    async def exhaust(self) -> None:
        """Open connections until the server refuses more."""
        engine = create_async_engine(self.url, poolclass=NullPool)
        self.stack.push_async_callback(engine.dispose)
        with suppress(DBAPIError):
            for _ in range(MANY):
                await self.stack.enter_async_context(engine.connect())

    async def release(self) -> None:
        """End the transaction, or close the connections."""
        await self.stack.aclose()

    async def remove(self) -> None:
        """Move the file away."""
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{self.file}{suffix}").rename(f"{self.file}{suffix}.away")

    async def restore(self) -> None:
        """Move the file back."""
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{self.file}{suffix}.away").rename(f"{self.file}{suffix}")


async def main(url: URL) -> None:
    """Break the database as told, until the end of the input."""
    print(url.render_as_string(hide_password=False), flush=True)
    faults = Faults(url)
    while name := (await asyncio.to_thread(sys.stdin.readline)).strip():
        await getattr(faults, name)()
        print("done", flush=True)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if DRIVER.startswith("sqlite"):
        asyncio.run(main(URL.create(DRIVER, database=str(folder / "app.db"))))
    else:
        subprocess.Popen = Program  # type: ignore[misc]
        with private_database(folder) as address:
            try:
                asyncio.run(main(address))
            finally:
                Program.latest.signal_all(signal.SIGKILL)
                Program.latest.wait()
