"""Limits for requests."""

import asyncio
import re

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
"""A string in JSON."""

CLOSE = {"Connection": "close"}
"""The rest of a rejected body is not read."""


class BodyLimitMiddleware:
    """Rejects request bodies that are too large with status 413, and slow ones with 408.

    FastAPI's own `max_body_size` responds with plain text, which an exception
    handler cannot turn into problem details.

    Args:
        app: the application.
        max_body_size: maximum number of bytes.
        timeout: maximum number of seconds.
    """

    def __init__(self, app: ASGIApp, max_body_size: int, timeout: float) -> None:
        self.app = app
        self.max_body_size = max_body_size
        self.timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        received = 0
        deadline: float | None = None
        complete = False

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
                raise HTTPException(
                    408, f"The request body took longer than {self.timeout:g} seconds.", CLOSE
                ) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self.max_body_size:
                raise HTTPException(
                    413, f"The request body exceeds {self.max_body_size} bytes.", CLOSE
                )
            return message

        await self.app(scope, limited_receive, send)


class JSONLimitMiddleware:
    """Rejects JSON bodies that contain too many values with status 413.

    Each value can be invalid, and the event loop is blocked while FastAPI lists all errors.
    """

    def __init__(self, app: ASGIApp, max_values: int) -> None:
        self.app = app
        self.max_values = max_values

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""
        headers = dict(scope.get("headers", ()))
        if scope["type"] != "http" or b"json" not in headers.get(b"content-type", b"").lower():
            await self.app(scope, receive, send)
            return

        body = bytearray()

        async def limited_receive() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                body.extend(message.get("body", b""))
                if not message.get("more_body", False) and self._is_too_much(bytes(body)):
                    raise HTTPException(
                        413, f"The request body contains more than {self.max_values} values."
                    )
            return message

        await self.app(scope, limited_receive, send)

    def _is_too_much(self, body: bytes) -> bool:
        if body.count(b",") < self.max_values:
            return False
        return STRING.sub(b"", body).count(b",") >= self.max_values  # the precise number
