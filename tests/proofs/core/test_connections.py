"""Connections whose headers do not end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from app.core.connections import LimitedProtocol

MAX_SIZE = 1000
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the size of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await asyncio.sleep(0.1 if scope["path"] == "/slow" else 0)
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to a server with short limits."""
    config = Config(application, log_config=None)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: LimitedProtocol(
            config=config, server_state=state, app_state={}, max_size=MAX_SIZE, timeout=0.2
        ),
        "127.0.0.1",
        0,
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            async with asyncio.timeout(5):
                yield reader, writer
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def status(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head.split()[1]


async def test_requests_are_answered() -> None:
    """A large body is no header, and the time ends with the headers."""
    async with connected() as (reader, writer):
        for path, size in ((b"/", 10 * MAX_SIZE), (b"/slow", 0), (b"/slow", 3)):
            head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (path, size)
            writer.write(head + b"x" * size)
            assert await status(reader) == b"200"
            assert await reader.readexactly(len(str(size))) == str(size).encode()
            await asyncio.sleep(0.15)


@pytest.mark.parametrize("before", [b"", REQUEST, 3 * REQUEST])
async def test_endless_headers_are_refused(before: bytes) -> None:
    async with connected() as (reader, writer):
        writer.write(before)
        for _ in range(before.count(b"GET")):
            assert await status(reader) == b"200"
            await reader.readexactly(1)
        for part in (b"GET / HTTP/1.1\r\nX-Long: ", b"x" * (MAX_SIZE // 2), b"x" * MAX_SIZE):
            writer.write(part)
            await asyncio.sleep(0.01)
        assert await status(reader) == b"431"
        assert await reader.read() == b""


async def test_endless_address_is_refused() -> None:
    async with connected() as (reader, writer):
        writer.write(b"GET /" + b"x" * 2 * MAX_SIZE)
        assert await status(reader) == b"431"


async def test_endless_trailers_are_refused() -> None:
    async with connected() as (reader, writer):
        for part in (CHUNKED + b"1\r\nx\r\n0\r\nX-Long: ", b"x" * 2 * MAX_SIZE):
            writer.write(part)
            await asyncio.sleep(0.01)
        assert await reader.read() == b""  # the application waits for the rest of the request


async def test_small_chunks_are_accepted() -> None:
    async with connected() as (reader, writer):
        writer.write(CHUNKED)
        for _ in range(MAX_SIZE):
            writer.write(b"1\r\nx\r\n")
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")
        assert await status(reader) == b"200"
        assert await reader.readexactly(4) == b"1000"


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: "])
async def test_slow_headers_are_refused(sent: bytes) -> None:
    """Also if nothing was sent."""
    async with connected() as (reader, writer):
        writer.write(sent)
        assert await status(reader) == b"408"
        assert await reader.read() == b""


async def test_slow_headers_of_the_next_request_are_refused() -> None:
    async with connected() as (reader, writer):
        writer.write(REQUEST + REQUEST[:-4])
        assert await status(reader) == b"200"
        await reader.readexactly(1)
        assert await status(reader) == b"408"


async def test_response_is_not_followed_by_another() -> None:
    """A client that sends headers while it receives a response loses the connection."""
    async with connected() as (reader, writer):
        for part in (b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /", b"x" * 2 * MAX_SIZE):
            writer.write(part)
            await asyncio.sleep(0.01)
        assert b"431" not in await reader.read()
