"""Who sent a request through a proxy, and to which address."""

from typing import Any

import pytest
from fastapi import FastAPI, Request, WebSocket
from httpx2 import ASGITransport, AsyncClient
from structlog.testing import capture_logs

from app.core import CoreSettings
from tests.proofs.kit import create_app

FORWARDED = {
    "X-Forwarded-For": "192.0.2.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "www.example.com",
}


def proxied_app(settings: CoreSettings, **changes: Any) -> FastAPI:
    app = create_app(settings.model_copy(update=changes))

    @app.get("/seen")
    async def seen(request: Request) -> list[str]:
        return [request.client.host if request.client else "", str(request.url_for("seen"))]

    return app


async def get(app: FastAPI, peer: Any, path: str = "/seen", **headers: str) -> Any:
    transport = ASGITransport(app, client=peer)
    async with AsyncClient(transport=transport, base_url="http://internal") as client:
        return await client.get(path, headers=FORWARDED | headers)


@pytest.mark.parametrize(
    ("proxies", "peer", "trusted"),
    [
        (("127.0.0.1",), "127.0.0.1", True),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("*",), "203.0.113.1", True),
        (("127.0.0.1",), "10.1.2.3", False),
        (("10.0.0.0/8",), "127.0.0.1", False),
        ((), "127.0.0.1", False),
        (("127.0.0.1",), "::ffff:127.0.0.1", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("2001:db8::/32",), "2001:db8::1", True),
        (("127.0.0.1",), "::ffff:10.1.2.3", False),
    ],
)
async def test_only_proxies_are_believed(
    settings: CoreSettings, proxies: tuple[str, ...], peer: str, trusted: bool
) -> None:
    app = proxied_app(settings, forwarded_allow_ips=proxies)
    with capture_logs() as logs:
        response = await get(app, (peer, 4711))
    redirect = await get(app, (peer, 4711), "/seen/")

    client, url = "192.0.2.7", "https://www.example.com"
    if not trusted:
        client, url = peer.removeprefix("::ffff:"), "http://internal"
    assert response.json() == [client, f"{url}/seen"]
    assert redirect.headers["Location"] == f"{url}/seen"
    assert [entry["client"] for entry in logs] == [client]


async def test_host_is_used_if_the_server_has_replaced_the_client(settings: CoreSettings) -> None:
    """`fastapi run` does it, and the address of the proxy is lost; the port is then 0."""
    response = await get(proxied_app(settings), ("192.0.2.7", 0))

    assert response.json() == ["192.0.2.7", "http://www.example.com/seen"]


@pytest.mark.parametrize(
    ("sent", "used"),
    [
        ("a.example:8443", "a.example:8443"),
        ("[::1]:8000", "[::1]:8000"),
        ("forged.example, b.example", "b.example"),
        ("", "internal"),
        ("a.example/path", "internal"),
        ("a.example@b.example", "internal"),
    ],
)
async def test_only_a_host_is_used(settings: CoreSettings, sent: str, used: str) -> None:
    response = await get(proxied_app(settings), ("127.0.0.1", 1), **{"X-Forwarded-Host": sent})

    assert response.json()[1] == f"https://{used}/seen"


async def test_connections_without_an_address_are_not_trusted(settings: CoreSettings) -> None:
    """Such as those of a Unix socket."""
    response = await get(proxied_app(settings), None)

    assert response.json() == ["", "http://internal/seen"]


async def test_web_socket_has_the_forwarded_host(settings: CoreSettings) -> None:
    app = create_app(settings)
    seen: list[Any] = []

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        seen.append(str(websocket.url))
        await websocket.close()

    scope = {
        "type": "websocket",
        "scheme": "ws",
        "path": "/socket",
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": [(b"x-forwarded-host", b"a.example"), (b"x-forwarded-proto", b"https")],
    }
    await app(scope, _connect, _send)

    assert seen == ["wss://a.example/socket"]


async def _connect() -> Any:
    return {"type": "websocket.connect"}


async def _send(_: Any) -> None: ...
