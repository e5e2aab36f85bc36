"""The pages of the API documentation; whether a browser shows them is tested with a real one."""

import base64
import hashlib
import re

import pytest
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from httpx2 import AsyncClient
from starlette.routing import Host

from app.core import CoreSettings
from tests.proofs.kit import create_app, running

PAGES = ["/docs", "/redoc", "/docs/oauth2-redirect"]
INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


async def policy(client: AsyncClient, path: str) -> tuple[str, dict[str, list[str]]]:
    """Return a page and the sources that its policy allows."""
    response = await client.get(path)
    assert response.status_code == 200
    directives = response.headers["Content-Security-Policy"].split("; ")
    return response.text, {name: sources for name, *sources in map(str.split, directives)}


@pytest.mark.parametrize("root_path", ["", "/api"])
@pytest.mark.parametrize("path", PAGES)
async def test_page_can_load_exactly_its_scripts(
    settings: CoreSettings, path: str, root_path: str
) -> None:
    app = create_app(settings.model_copy(update={"root_path": root_path}))
    async with running(app) as client:
        text, sources = await policy(client, path)

    inline = [hashlib.sha256(script.encode()).digest() for script in INLINE.findall(text)]
    hashes = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in inline]
    loaded = re.findall(r'<script src="([^"]*)"', text)
    assert sorted(sources["script-src"]) == sorted(hashes + loaded)
    assert len(hashes + loaded) == (2 if path == "/docs" else 1)
    assert sources["default-src"] == sources["frame-ancestors"] == ["'none'"]


async def test_page_can_load_its_style_sheets(settings: CoreSettings) -> None:
    async with running(create_app(settings)) as client:
        text, sources = await policy(client, "/docs")
        _, of_redoc = await policy(client, "/redoc")

    assert sources["style-src"] == re.findall(r'rel="stylesheet" href="([^"]*)"', text)
    assert of_redoc["style-src"] == ["https://fonts.googleapis.com/css", "'unsafe-inline'"]
    assert of_redoc["font-src"] == ["https://fonts.gstatic.com"]
    assert of_redoc["worker-src"] == ["blob:"]


async def test_own_page_stays_as_it_is(settings: CoreSettings) -> None:
    """FastAPI documents this way of loading Swagger UI from elsewhere."""
    app = FastAPI(docs_url=None)

    @app.get("/docs", include_in_schema=False)
    async def own_page() -> HTMLResponse:
        return get_swagger_ui_html(openapi_url="/openapi.json", title="", swagger_js_url="/x.js")

    async with running(create_app(settings, app)) as client:
        text, sources = await policy(client, "/docs")

    assert "/x.js" in text
    assert sources == {"frame-ancestors": ["'none'"]}


async def test_documentation_can_be_removed(settings: CoreSettings) -> None:
    app = FastAPI()
    elsewhere = Host("other.example", FastAPI())  # has no path
    app.router.routes.append(elsewhere)
    create_app(settings.model_copy(update={"docs": False}), app)
    async with running(app) as client:
        for path in ("/openapi.json", *PAGES):
            assert (await client.get(path)).status_code == 404

    assert elsewhere in app.router.routes
    assert (app.openapi_url, app.docs_url, app.redoc_url) == (None, None, None)


@pytest.mark.parametrize("proxy_removes_it", [True, False])
async def test_root_path_is_part_of_addresses(
    settings: CoreSettings, proxy_removes_it: bool
) -> None:
    app = create_app(settings.model_copy(update={"root_path": "/api"}))
    prefix = "" if proxy_removes_it else "/api"

    @app.get("/notes")
    async def notes() -> None: ...

    async with running(app) as client:
        page = await client.get(f"{prefix}/docs")
        schema = await client.get(f"{prefix}/openapi.json")
        redirect = await client.get(f"{prefix}/notes/")

    assert "url: '/api/openapi.json'" in page.text
    assert schema.json()["servers"] == [{"url": "/api"}]
    assert redirect.headers["Location"] == "http://test/api/notes"
