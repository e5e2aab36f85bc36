"""Middleware that every response passes, including those to unexpected errors."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from app.core import telemetry
from app.core.logs import REQUEST_ID_HEADER
from app.core.proxies import ProxyMiddleware
from app.core.security import SecurityHeadersMiddleware
from app.core.settings import CoreSettings
from app.core.shutdown import DrainMiddleware, Shutdown


def install(app: FastAPI, settings: CoreSettings, shutdown: Shutdown) -> None:
    """Wrap the whole application.

    `app.add_middleware` is not enough: it adds to the inside of Starlette's error handler.
    """
    if settings.root_path:
        app.root_path = settings.root_path
    build = app.build_middleware_stack

    def build_wrapped() -> ASGIApp:
        # From the inside out: the outermost determines scheme and client for all others.
        stack = build()
        if settings.cors_origins:
            stack = CORSMiddleware(
                stack,
                allow_origins=settings.cors_origins,
                allow_credentials=settings.cors_credentials,
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=["Location", "Retry-After", REQUEST_ID_HEADER],
            )
        stack = SecurityHeadersMiddleware(stack, settings)
        stack = DrainMiddleware(stack, shutdown)
        stack = telemetry.wrap(stack, settings)
        return ProxyMiddleware(stack, settings)

    app.build_middleware_stack = build_wrapped  # type: ignore[method-assign]
