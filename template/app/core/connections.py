"""Limits for what `serve` receives before the application sees the request."""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class LimitedProtocol(HttpToolsProtocol):
    """Closes connections whose headers do not end, with status 408 or 431.

    uvicorn collects headers until the memory is full. `HeaderLimitMiddleware` has the exact
    limit, and the better answer, but needs a whole request.

    Args:
        max_size: size of headers in bytes; more can be received at once.
        timeout: seconds for receiving headers, and until the first ones.
        options: arguments of uvicorn.
    """

    def __init__(self, *, max_size: int, timeout: float, **options: Any) -> None:
        super().__init__(**options)
        self._max_size = max_size
        self._timeout = timeout
        self._received = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time of the first request."""
        super().connection_made(transport)
        self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what is neither a body nor the end of headers."""
        self._received += len(data)
        super().data_received(data)
        if self._received > self._max_size:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Start the time of the next request."""
        super().on_message_begin()
        if not self._timer:
            self._start()

    def on_headers_complete(self) -> None:
        """Stop the time."""
        self._stop()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Start to count trailers, or a chunk."""
        self._received = 0
        super().on_body(body)

    def _start(self) -> None:
        self._received = 0
        self._timer = self.loop.call_later(self._timeout, self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def _stop(self) -> None:
        self._received = 0
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: HTTPStatus) -> None:
        self._stop()
        # A response that is being sent must not be followed by another.
        if not self.cycle or self.cycle.response_complete:
            line = f"HTTP/1.1 {status} {status.phrase}\r\n"
            self.transport.write(f"{line}Connection: close\r\nContent-Length: 0\r\n\r\n".encode())
        self.transport.close()
