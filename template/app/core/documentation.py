"""The pages `/docs` and `/redoc`: whether they are served, and what they load."""

import base64
import hashlib
import re
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request, Response
from starlette.routing import Route

from app.core.security import NOTHING_LOADED

SCRIPT = re.compile(r'<script(?: src="([^"]*)")?>(.*?)</script>', re.DOTALL)
STYLE_SHEET = re.compile(r'<link [^>]*rel="stylesheet"[^>]*>')
HREF = re.compile(r'href="([^"]*)"')
OF_REDOC = "; font-src https://fonts.gstatic.com; worker-src blob:"


def install(app: FastAPI, *, enabled: bool) -> None:
    """Send a content security policy with each page, or remove all of them.

    Pages of the service, such as one that loads Swagger UI from elsewhere, stay as they are.
    """
    routes = app.router.routes
    for index, route in reversed(list(enumerate(routes))):
        if not isinstance(route, Route) or route.endpoint.__module__ != FastAPI.__module__:
            continue
        if not enabled:
            del routes[index]
        elif route.path != app.openapi_url:
            further = OF_REDOC if route.path == app.redoc_url else ""
            page = _with_policy(route.endpoint, further)
            routes[index] = Route(route.path, page, name=route.name, include_in_schema=False)
    if not enabled:
        app.openapi_url = app.docs_url = app.redoc_url = None


def _with_policy(endpoint: Any, further: str) -> Any:
    async def page(request: Request) -> Response:
        response: Response = await endpoint(request)
        policy = _policy(bytes(response.body).decode()) + further
        response.headers["Content-Security-Policy"] = policy
        return response

    return page


@lru_cache
def _policy(html: str) -> str:
    """Return a policy that allows exactly the scripts and style sheets of a page.

    Requests and images can go anywhere: to the servers and the login that OpenAPI names, and
    to what the descriptions show.
    """
    scripts = [_source(url) if url else _hash(text) for url, text in SCRIPT.findall(html)]
    styles = [_source(url) for link in STYLE_SHEET.findall(html) for url in HREF.findall(link)]
    if "<style>" in html:
        styles.append("'unsafe-inline'")  # Redoc adds further ones
    script, style = (" ".join(sources or ["'none'"]) for sources in (scripts, styles))
    return (
        f"{NOTHING_LOADED}; script-src {script}; style-src {style}; "
        "img-src 'self' data: https:; connect-src *"
    )


def _source(url: str) -> str:
    address = urlsplit(url)
    return f"{address.scheme}://{address.netloc}{quote(address.path, safe='/@')}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
