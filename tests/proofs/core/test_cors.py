"""Which pages in browsers can use the service."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request
from httpx2 import AsyncClient, Response

from app.core import CoreSettings
from tests.proofs.kit import create_app, running

ALLOWED, OTHER = "https://a.example", "https://b.example"
ALLOW_ORIGIN = "Access-Control-Allow-Origin"


def cors_app(settings: CoreSettings, **changes: Any) -> FastAPI:
    app = create_app(settings.model_copy(update=changes))

    @app.post("/length")
    async def measure(request: Request) -> int:
        return len(await request.body())

    @app.get("/bug")
    async def bug() -> None:
        raise ZeroDivisionError

    return app


def preflight(client: AsyncClient, origin: str) -> Any:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "Authorization",
    }
    return client.options("/length", headers=headers)


async def test_no_origin_is_allowed_by_default(settings: CoreSettings) -> None:
    async with running(cors_app(settings)) as client:
        response = await client.get("/health/live", headers={"Origin": ALLOWED})
        assert ALLOW_ORIGIN not in response.headers
        assert ALLOW_ORIGIN not in (await preflight(client, ALLOWED)).headers


async def test_only_allowed_origins_can_read_responses(settings: CoreSettings) -> None:
    async with running(cors_app(settings, cors_origins=(ALLOWED,))) as client:
        for origin, allowed in ((ALLOWED, ALLOWED), (OTHER, None)):
            response = await client.get("/health/live", headers={"Origin": origin})
            assert response.headers.get(ALLOW_ORIGIN) == allowed
            assert "Origin" in response.headers["Vary"]
            assert "Access-Control-Allow-Credentials" not in response.headers


async def test_only_allowed_origins_can_send_requests(settings: CoreSettings) -> None:
    async with running(cors_app(settings, cors_origins=(ALLOWED,))) as client:
        allowed, other = await preflight(client, ALLOWED), await preflight(client, OTHER)

    assert allowed.status_code == 200
    assert allowed.headers[ALLOW_ORIGIN] == ALLOWED
    assert "DELETE" in allowed.headers["Access-Control-Allow-Methods"]
    assert allowed.headers["Access-Control-Allow-Headers"] == "Authorization"
    assert ALLOW_ORIGIN not in other.headers


Send = Callable[[AsyncClient], Any]


@pytest.mark.parametrize(
    ("status", "send"),
    [
        (404, lambda client: client.get("/nowhere")),
        (413, lambda client: client.post("/length", content=b"x" * 11)),
        (431, lambda client: client.get("/bug", headers={"X-Long": "x" * 1000})),
        (500, lambda client: client.get("/bug")),
    ],
)
async def test_errors_can_be_read(settings: CoreSettings, status: int, send: Send) -> None:
    changes = {"cors_origins": (ALLOWED,), "max_body_size": 10, "max_header_size": 1000}
    async with running(cors_app(settings, **changes)) as client:
        client.headers["Origin"] = ALLOWED
        response: Response = await send(client)

    assert response.status_code == status
    assert response.headers[ALLOW_ORIGIN] == ALLOWED
    assert "X-Request-ID" in response.headers["Access-Control-Expose-Headers"]


async def test_credentials_are_allowed_by_setting(settings: CoreSettings) -> None:
    changes = {"cors_origins": (ALLOWED,), "cors_credentials": True}
    async with running(cors_app(settings, **changes)) as client:
        response = await client.get("/health/live", headers={"Origin": ALLOWED})

    assert response.headers["Access-Control-Allow-Credentials"] == "true"
