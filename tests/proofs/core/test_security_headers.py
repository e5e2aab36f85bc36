"""Headers that protect users of browsers."""

from typing import Any

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from httpx2 import ASGITransport, AsyncClient

from app.core import CoreSettings
from tests.proofs.kit import create_app, running

POLICY = "Content-Security-Policy"


def page_app(settings: CoreSettings, **changes: Any) -> FastAPI:
    app = create_app(settings.model_copy(update=changes))

    @app.get("/bug")
    async def bug() -> None:
        raise ZeroDivisionError

    @app.get("/page", response_class=HTMLResponse)
    async def page() -> str:
        return "<script src=/own.js></script>"

    @app.get("/worker.js")
    async def worker() -> Response:
        return Response("fetch('/')", media_type="text/javascript")

    @app.get("/unchanged")
    async def unchanged() -> Response:
        return Response(status_code=304)

    @app.get("/own")
    async def own(response: Response) -> None:
        response.headers[POLICY] = "sandbox"
        response.headers["Referrer-Policy"] = "no-referrer"

    return app


@pytest.mark.parametrize("path", ["/health/live", "/nowhere", "/bug"])
async def test_every_response_has_the_headers(settings: CoreSettings, path: str) -> None:
    async with running(page_app(settings)) as client:
        headers = (await client.get(path)).headers

    assert headers[POLICY] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "Strict-Transport-Security" not in headers


@pytest.mark.parametrize("path", ["/page", "/worker.js"])
async def test_pages_of_the_service_can_load_scripts(settings: CoreSettings, path: str) -> None:
    async with running(page_app(settings)) as client:
        assert (await client.get(path)).headers[POLICY] == "frame-ancestors 'none'"


async def test_cached_page_keeps_its_policy(settings: CoreSettings) -> None:
    """The headers of a 304 replace those of the cached response, and it has no media type."""
    async with running(page_app(settings)) as client:
        headers = (await client.get("/unchanged")).headers

    assert POLICY not in headers
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_own_headers_of_a_response_are_kept(settings: CoreSettings) -> None:
    async with running(page_app(settings)) as client:
        headers = (await client.get("/own")).headers

    assert headers.get_list(POLICY) == ["sandbox"]
    assert headers.get_list("Referrer-Policy") == ["no-referrer"]
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("scheme", "seconds", "expected"),
    [("https", 60, "max-age=60"), ("https", 0, None), ("http", 60, None)],
)
async def test_https_is_required_by_setting(
    settings: CoreSettings, scheme: str, seconds: int, expected: str | None
) -> None:
    transport = ASGITransport(page_app(settings, hsts_max_age=seconds))
    async with AsyncClient(transport=transport, base_url=f"{scheme}://test") as client:
        headers = (await client.get("/health/live")).headers

    assert headers.get("Strict-Transport-Security") == expected
