"""The end of the service: first no new requests, then a limit for those that run."""

import asyncio
import math
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import copy_context
from types import FrameType
from typing import Any

import structlog
from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import unavailable

logger = structlog.get_logger(__name__)


class Shutdown:
    """Drains for some seconds after SIGTERM, and then sets a deadline for all requests.

    While draining, the service is not ready and closes its connections, so that load
    balancers and clients go elsewhere, but it still answers every request.
    """

    def __init__(self, timeout: float, drain_timeout: float) -> None:
        self.timeout = timeout
        self.drain_timeout = drain_timeout
        self.draining = False
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
        """Drain when the server receives SIGTERM; its own handler runs afterwards."""
        handle = signal.getsignal(signal.SIGTERM)
        if not callable(handle) or threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        context = copy_context()  # a signal arrives in that of any request
        end: asyncio.TimerHandle | None = None
        config: Any = getattr(getattr(handle, "__self__", None), "config", None)
        # Nobody waits for a load balancer when the code changes.
        drain_timeout = 0 if getattr(config, "reload", False) else self.drain_timeout
        # By default, uvicorn waits forever for clients that do not read their response.
        if getattr(config, "timeout_graceful_shutdown", 0) is None:
            config.timeout_graceful_shutdown = math.ceil(self.timeout) + 1

        def begin_and_handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.begin)
            handle(number, frame)

        def wait(number: int) -> None:
            nonlocal end
            if self.draining:
                logger.info("draining", seconds=drain_timeout)
                end = loop.call_later(drain_timeout, begin_and_handle, number, None)

        def drain(number: int, frame: FrameType | None) -> None:
            if not drain_timeout:
                begin_and_handle(number, frame)
            elif not self.draining:  # workers get a signal to their process group twice
                self.draining = True
                loop.call_soon_threadsafe(wait, number, context=context)

        signal.signal(signal.SIGTERM, drain)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, handle)
            self.draining = False
            if end:
                end.cancel()


class DrainMiddleware:
    """Closes connections while `shutdown` is draining."""

    def __init__(self, app: ASGIApp, shutdown: Shutdown) -> None:
        self.app = app
        self.shutdown = shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""

        async def closing_send(message: Message) -> None:
            if message["type"] == "http.response.start" and self.shutdown.draining:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self.app(scope, receive, closing_send)


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
