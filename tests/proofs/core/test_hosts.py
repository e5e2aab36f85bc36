"""Host names that the service answers to."""

from typing import Any

import pytest
from fastapi import FastAPI, WebSocket

from app.core import CoreSettings
from tests.proofs.kit import create_app, running


def host_app(settings: CoreSettings, *hosts: str) -> FastAPI:
    app = create_app(settings.model_copy(update={"allowed_hosts": hosts}))

    @app.get("/one")
    async def one() -> int:
        return 1

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    return app


HOSTS = ("a.example", "*.b.example", "[::1]")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("a.example", 200),
        ("A.example:8000", 200),
        ("[::1]:8000", 200),
        ("x.b.example", 200),
        ("b.example", 400),
        ("x.a.example", 400),
        ("evilb.example", 400),
        ("", 400),
    ],
)
async def test_only_allowed_hosts_are_answered(
    settings: CoreSettings, host: str, status: int
) -> None:
    async with running(host_app(settings, *HOSTS)) as client:
        response = await client.get("/one", headers={"Host": host})

    assert response.status_code == status
    if status == 400:
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.json()["request_id"] == response.headers["X-Request-ID"]


@pytest.mark.committed
async def test_probes_are_exempt(settings: CoreSettings) -> None:
    """They are sent to an address of the container."""
    changes = {"allowed_hosts": ("a.example",), "root_path": "/api"}
    app = create_app(settings.model_copy(update=changes))
    async with running(app) as client:
        for path in ("/health/live", "/health/ready", "/api/health/live"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/health/other")).status_code == 400


async def test_every_host_is_answered_by_default(settings: CoreSettings) -> None:
    async with running(host_app(settings)) as client:
        assert (await client.get("/one", headers={"Host": "x.example"})).status_code == 200


async def test_web_sockets_are_refused(settings: CoreSettings) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    for host in (b"a.example", b"b.example"):
        scope = {"type": "websocket", "path": "/socket", "query_string": b""}
        await host_app(settings, "a.example")(scope | {"headers": [(b"host", host)]}, receive, send)

    assert [message["type"] for message in sent] == [
        "websocket.accept",
        "websocket.close",
        "websocket.close",  # uvicorn answers with 403
    ]


async def test_two_hosts_are_refused(settings: CoreSettings) -> None:
    """Starlette's URLs have the first one, so either could be checked in vain."""
    for hosts in (["a.example", "evil.example"], ["evil.example", "a.example"]):
        async with running(host_app(settings, "a.example")) as client:
            headers = [("Host", host) for host in hosts]
            assert (await client.get("/one", headers=headers)).status_code == 400
