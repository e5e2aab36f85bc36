"""Giving an application what core provides."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI

from app.core import errors, features, health
from app.core.database import create_read_session_factory, create_session_factory
from app.core.engine import open_engine
from app.core.limits import BodyLimitMiddleware
from app.core.logs import RequestLogMiddleware
from app.core.settings import CoreSettings

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


def install(app: FastAPI, settings: CoreSettings, *, prefix: str = "") -> None:
    """Give an application its database, error responses, logs, health checks and features.

    Call it last: what wraps the application, or catches requests that nothing else
    answers, then comes in the right order.

    Args:
        app: an application that was not started yet.
        settings: the service's settings; the features read their own.
        prefix: the path that all features' routes begin with.

    Raises:
        SystemExit: a feature is wrong, or a setting of it; the message says how to mend it.
    """
    app.state.settings = settings
    app.state.feature_settings = {kind: kind.load() for kind in features.settings_classes()}
    app.router.lifespan_context = _with_database(app.router.lifespan_context, settings)
    errors.install(app)
    app.add_middleware(BodyLimitMiddleware, max_body_size=settings.max_body_size)
    features.install(app)
    # The middleware added last is the outermost.
    app.add_middleware(RequestLogMiddleware)
    _include(app, features.routers(), prefix)


def _include(app: FastAPI, routers: list[APIRouter], prefix: str) -> None:
    """Add routes in front of what the service mounted itself, but after the documentation."""
    documentation = {
        app.openapi_url,
        app.docs_url,
        app.redoc_url,
        app.swagger_ui_oauth2_redirect_url,
    }
    routes = app.router.routes
    own = [route for route in routes if getattr(route, "path", None) not in documentation]
    for route in own:
        routes.remove(route)
    # Not by `include_router`, which would add the application's dependencies, such as a login.
    routes.extend(health.router.routes)
    for router in routers:
        app.include_router(router, prefix=prefix)
    routes.extend(own)


def _with_database(lifespan: Lifespan, settings: CoreSettings) -> Lifespan:
    """Return a lifespan in which the database is open before and after the service's own."""

    @asynccontextmanager
    async def with_database(app: FastAPI) -> AsyncIterator[Any]:
        async with AsyncExitStack() as stack:
            # Tests bring session factories of their own.
            if not hasattr(app.state, "session_factory"):
                await stack.enter_async_context(_database(app, settings))
            yield await stack.enter_async_context(lifespan(app))

    return with_database


@asynccontextmanager
async def _database(app: FastAPI, settings: CoreSettings) -> AsyncIterator[None]:
    # Imported here, because Alembic takes long to import and requests do not need it.
    from app.core import migrations

    async with (
        open_engine(settings) as engine,
        open_engine(settings, read_only=True) as read_engine,
    ):
        await migrations.report(engine)
        app.state.engine = engine
        app.state.session_factory = create_session_factory(engine)
        app.state.read_session_factory = create_read_session_factory(read_engine)
        try:
            yield
        finally:
            del app.state.session_factory, app.state.read_session_factory
