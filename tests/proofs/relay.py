"""A TCP relay to the database server, which tests can interrupt like a network failure."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self

from sqlalchemy import URL

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """A port on the loopback interface that forwards connections to the server.

    Args:
        connect: opens a connection to the server.
    """

    url: URL
    """The database URL through this port."""

    port = 0
    accepted = 0
    """Number of connections so far."""

    def __init__(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        self._connect = connect
        self._connections: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()

    async def __aenter__(self) -> Self:
        await self.resume()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.interrupt()

    async def resume(self) -> None:
        """Accept connections, always on the same port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def interrupt(self) -> None:
        """Close all connections, and refuse new ones."""
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def freeze(self) -> None:
        """Accept connections and data, but forward nothing, like a server that is stopped."""
        self._flows.clear()

    def thaw(self) -> None:
        """Forward everything again."""
        self._flows.set()

    async def _accept(self, *client: *Streams) -> None:
        self.accepted += 1
        connection = asyncio.create_task(self._relay(client))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _relay(self, client: Streams) -> None:
        writers = [client[1]]
        try:
            server = await self._connect()
            writers.append(server[1])
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._copy(client[0], server[1]))
                directions.create_task(self._copy(server[0], client[1]))
        finally:
            for writer in writers:
                writer.transport.abort()

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                await self._flows.wait()
                target.write(data)
                await target.drain()
            target.write_eof()
