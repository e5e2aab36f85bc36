"""A limit on how long requests can delay a shutdown."""

import asyncio
import math
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any

import structlog
from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import unavailable

logger = structlog.get_logger(__name__)


class Shutdown:
    """Sets a deadline for all requests, `timeout` seconds after SIGTERM."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._deadline: float | None = None
        self._limits: set[asyncio.Timeout] = set()

    def begin(self) -> None:
        """Set the deadline, unless it is set already."""
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self.timeout
            for limit in self._limits:
                limit.reschedule(self._deadline)

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[asyncio.Timeout]:
        """Cancel the body of the context at the deadline, with a TimeoutError."""
        async with asyncio.timeout_at(self._deadline) as limit:
            self._limits.add(limit)
            try:
                yield limit
            finally:
                self._limits.discard(limit)

    @contextmanager
    def on_sigterm(self) -> Iterator[None]:
        """Begin when the server receives SIGTERM."""
        handle = signal.getsignal(signal.SIGTERM)
        if not callable(handle) or threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()

        def begin_and_handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.begin)
            handle(number, frame)

        # By default, uvicorn waits forever for clients that do not read their response.
        config: Any = getattr(getattr(handle, "__self__", None), "config", None)
        if getattr(config, "timeout_graceful_shutdown", 0) is None:
            config.timeout_graceful_shutdown = math.ceil(self.timeout) + 1
        signal.signal(signal.SIGTERM, begin_and_handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, handle)


class ShutdownMiddleware:
    """Ends requests at the deadline of `shutdown`, with status 503."""

    def __init__(self, app: ASGIApp, shutdown: Shutdown) -> None:
        self.app = app
        self.shutdown = shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with self.shutdown.limit() as limit:
                await self.app(scope, receive, watched_send)
        except TimeoutError:
            if not limit.expired():
                raise
            logger.warning("request ended by the shutdown")
            if not started:
                response = unavailable(Request(scope), "The service is shutting down.")
                await response(scope, receive, send)
