"""Read-only sessions on a replica, which see everything that was committed before.

Each transaction asks the primary for its position in the log of changes, and waits until the
replica has reached it. While the replica cannot be used, the connections lead to the primary.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from sqlalchemy import TextClause, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only, greenlet_spawn

TIMEOUT = 1.0
"""Seconds for connecting to the replica, and for the primary to answer."""

MAX_LAG = 0.25
"""Seconds for the replica to catch up; in the meantime, a request occupies a connection."""

PAUSE = 5.0
"""Seconds on the primary, after the replica could not be used."""

Wait = Callable[[Any, str], None]
"""Waits until the server of a DBAPI connection has reached a position."""
T = TypeVar("T")

logger = structlog.get_logger(__name__)


class Positions:
    """The position of the primary. Concurrent requests share a query."""

    def __init__(self, ask: Callable[[], Awaitable[str]]) -> None:
        self._ask = ask
        self._running: asyncio.Future[str] | None = None
        self._next: asyncio.Future[str] | None = None

    async def current(self) -> str:
        """Return a position that was asked for after this call."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._ask_after(self._running))
        return await asyncio.shield(self._next)

    async def _ask_after(self, running: asyncio.Future[str] | None) -> str:
        if running:
            await asyncio.wait([running])
        self._running, self._next = self._next, None
        return await self._ask()


class Replica:
    """Decides where the connections of an engine lead: to the replica, or to the primary.

    Args:
        engine: the engine, whose URL is that of the replica.
        primary: an engine with the same options for the primary.
        position: a query for the position of the primary.
        wait: waits for a position.
    """

    def __init__(
        self, engine: AsyncEngine, primary: AsyncEngine, position: TextClause, wait: Wait
    ) -> None:
        async def ask() -> str:
            async with primary.connect() as connection:
                return str(await connection.scalar(position))

        self._primary = primary.sync_engine
        self._positions = Positions(ask)
        self._wait = wait
        self._paused_until = 0.0
        self._failed = False
        event.listen(engine.sync_engine, "do_connect", self._connect)
        event.listen(engine.sync_engine, "checkout", self._check_out)
        event.listen(engine.sync_engine, "engine_disposed", lambda _: self._primary.dispose())

    def _connect(self, dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
        def connect(position: str) -> Any:
            connection = dialect.connect(*arguments, **options)
            try:
                self._wait(connection, position)
            except BaseException:
                dialect.do_terminate(connection)
                raise
            return connection

        record.info["checked"] = True
        if self._is_usable():
            if self._failed:  # one request at a time tries
                self._pause()
            if connection := self._attempt(connect, TIMEOUT):
                return connection
        record.info["primary"] = True
        borrowed = self._primary.raw_connection()
        connection = borrowed.dbapi_connection
        borrowed.detach()
        return connection

    def _check_out(self, connection: Any, record: Any, _: object) -> None:
        """Wait for the replica. After a DisconnectionError, SQLAlchemy connects again."""

        def wait(position: str) -> bool:
            self._wait(connection, position)
            return True

        if record.info.pop("checked", False):
            return
        if record.info.get("primary", False):
            fits = not self._is_usable()
        else:
            fits = self._is_usable() and bool(self._attempt(wait, MAX_LAG))
        if not fits:
            raise DisconnectionError

    def _attempt(self, use: Callable[[str], T], timeout: float) -> T | None:
        """Use the replica; return None if it fails."""
        try:
            position = await_only(asyncio.wait_for(self._positions.current(), TIMEOUT))
            result = await_only(asyncio.wait_for(greenlet_spawn(use, position), timeout))
        except Exception as error:  # drivers have many kinds
            self._pause()
            if not self._failed:
                self._failed = True
                reason = str(error) or f"it was not ready within {timeout:g} seconds"
                logger.warning("replica not used", reason=reason, seconds=PAUSE)
            return None
        self._paused_until = 0.0
        if self._failed:
            self._failed = False
            logger.info("replica used again")
        return result

    def _is_usable(self) -> bool:
        return time.monotonic() >= self._paused_until

    def _pause(self) -> None:
        self._paused_until = time.monotonic() + PAUSE
