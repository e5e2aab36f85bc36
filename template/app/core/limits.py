"""Limits for requests."""

import asyncio
import re

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import refuse
from app.core.settings import CoreSettings

STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
"""A string in JSON. An optional end, because searching for one that is missing is slow."""

SEPARATORS = len(": \r\n")

CLOSE = {"Connection": "close"}
"""The rest of a rejected body is not read."""


class BodyError(HTTPException):
    """A request body exceeds a limit."""


class HeaderLimitMiddleware:
    """Rejects requests with a long address with status 414, and with large headers with 431.

    uvicorn has no limit, or one that differs between its HTTP parsers.
    """

    def __init__(self, app: ASGIApp, settings: CoreSettings) -> None:
        self.app = app
        self.max_size = settings.max_header_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""
        if scope["type"] in {"http", "websocket"} and (status := self._refusal(scope)):
            error = HTTPException(status, f"The limit is {self.max_size} bytes.", CLOSE)
            await refuse(scope, receive, send, error)
            return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> int | None:
        if len(scope.get("raw_path", b"")) + len(scope["query_string"]) > self.max_size:
            return 414
        size = sum(len(name) + len(value) + SEPARATORS for name, value in scope["headers"])
        return 431 if size > self.max_size else None


class BodyLimitMiddleware:
    """Rejects request bodies that are too large with status 413, and slow ones with 408.

    FastAPI's own `max_body_size` responds with plain text, which an exception
    handler cannot turn into problem details. JSON bodies can also contain too many values:
    each can be invalid, and the event loop is blocked while FastAPI lists all errors.
    """

    def __init__(self, app: ASGIApp, settings: CoreSettings) -> None:
        self.app = app
        self.max_size = settings.max_body_size
        self.max_values = settings.max_json_values
        self.timeout = settings.body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        is_json = "json" in Headers(scope=scope).get("Content-Type", "").lower()
        json = bytearray()
        received = 0
        deadline: float | None = None
        complete = started = False

        async def limited_receive() -> Message:
            nonlocal received, deadline, complete
            if complete:  # the next message is the end of the connection
                return await receive()
            if deadline is None:
                deadline = asyncio.get_running_loop().time() + self.timeout
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise BodyError(
                    408, f"The request body took longer than {self.timeout:g} seconds.", CLOSE
                ) from None
            chunk = message.get("body", b"")
            received += len(chunk)
            complete = not message.get("more_body", False)
            if received > self.max_size:
                raise BodyError(413, f"The request body exceeds {self.max_size} bytes.", CLOSE)
            if is_json:
                json.extend(chunk)
                if complete:
                    _check_json(json, self.max_values)
            return message

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, limited_receive, watched_send)
        except BodyError as error:  # a middleware of the service read the body
            if started:
                raise
            await refuse(scope, receive, send, error)


def _check_json(json: bytearray, limit: int) -> None:
    if b"\0" in json:  # of UTF-16 and UTF-32, which Python would accept
        raise BodyError(400, "The request body must be UTF-8.")
    # The commas in strings do not count.
    if json.count(b",") >= limit and STRING.sub(b"", json).count(b",") >= limit:
        raise BodyError(413, f"The request body contains more than {limit} values.")
