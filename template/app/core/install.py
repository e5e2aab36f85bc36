"""Adds the core components and the features to an application."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI

from app.core import documentation, edge, errors, features, health, telemetry
from app.core.database import create_read_session_factory, create_session_factory
from app.core.dialect import PROBES
from app.core.engine import open_engine
from app.core.hosts import AllowedHostsMiddleware
from app.core.limits import BodyLimitMiddleware, HeaderLimitMiddleware
from app.core.logs import RequestLogMiddleware
from app.core.settings import CoreSettings
from app.core.shutdown import Shutdown, ShutdownMiddleware

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


def install(app: FastAPI, settings: CoreSettings, *, prefix: str = "") -> None:
    """Add the database, error responses, request logs, health checks and features.

    Call it after adding middleware and routes, so that the request log wraps all
    middleware, and catch-all routes match last.

    Args:
        app: an application that has not been started.
        settings: settings of the service; features load their own.
        prefix: path prefix of the routes of all features.

    Raises:
        SystemExit: a feature or one of its settings is invalid; the message explains the fix.
    """
    app.state.settings = settings
    app.state.feature_settings = {kind: kind.load() for kind in features.settings_classes()}
    shutdown = Shutdown(settings.shutdown_timeout, settings.drain_timeout)
    app.state.shutdown = shutdown
    app.router.lifespan_context = _with_database(app.router.lifespan_context, settings, shutdown)
    errors.install(app)
    telemetry.install(app, settings)
    _add_middleware(app, settings, shutdown)
    documentation.install(app, enabled=settings.docs)
    _include(app, prefix)


def _add_middleware(app: FastAPI, settings: CoreSettings, shutdown: Shutdown) -> None:
    # The middleware added last is the outermost: refused requests are logged, too, and what is
    # at the edge applies to all responses.
    features.install(app)
    app.add_middleware(BodyLimitMiddleware, settings=settings)
    app.add_middleware(ShutdownMiddleware, shutdown=shutdown)
    if settings.allowed_hosts:
        app.add_middleware(AllowedHostsMiddleware, settings=settings)
    app.add_middleware(HeaderLimitMiddleware, settings=settings)
    app.add_middleware(RequestLogMiddleware)
    edge.install(app, settings, shutdown)


def _include(app: FastAPI, prefix: str) -> None:
    """Insert routes after the documentation and before the routes that the service added."""
    of_documentation = {
        app.openapi_url,
        app.docs_url,
        app.redoc_url,
        app.swagger_ui_oauth2_redirect_url,
    }
    routes = app.router.routes
    own = [route for route in routes if getattr(route, "path", None) not in of_documentation]
    for route in own:
        routes.remove(route)
    routes.extend(health.router.routes)
    # The application's dependencies, such as authentication, do not apply to the login.
    dependencies, app.router.dependencies = app.router.dependencies, []
    for router in features.routers(of_core=True):
        app.include_router(router, prefix=prefix)
    app.router.dependencies = dependencies
    for router in features.routers(of_core=False):
        app.include_router(router, prefix=prefix)
    routes.extend(own)


def _with_database(lifespan: Lifespan, settings: CoreSettings, shutdown: Shutdown) -> Lifespan:
    """Return a lifespan that opens the database before, and closes it after, `lifespan`."""

    @asynccontextmanager
    async def with_database(app: FastAPI) -> AsyncIterator[Any]:
        async with AsyncExitStack() as stack:
            stack.enter_context(shutdown.on_sigterm())
            # The application can be started already.
            if not hasattr(app.state, "health_engine"):
                probes = await stack.enter_async_context(
                    open_engine(settings.model_copy(update=PROBES), read_only=True)
                )
                app.state.health_engine = probes
                stack.callback(delattr, app.state, "health_engine")
            # Tests provide their own session factories.
            if not hasattr(app.state, "session_factory"):
                await stack.enter_async_context(_database(app, settings))
            yield await stack.enter_async_context(lifespan(app))

    return with_database


@asynccontextmanager
async def _database(app: FastAPI, settings: CoreSettings) -> AsyncIterator[None]:
    # Alembic is slow to import, and `import app.main` must stay fast.
    from app.core import migrations

    async with (
        open_engine(settings) as engine,
        open_engine(settings, read_only=True) as read_engine,
    ):
        await migrations.report(engine)
        telemetry.observe(engine, "read-write", settings)
        telemetry.observe(read_engine, "read-only", settings)
        app.state.engine = engine
        app.state.session_factory = create_session_factory(engine)
        app.state.read_session_factory = create_read_session_factory(read_engine)
        try:
            yield
        finally:
            del app.state.session_factory, app.state.read_session_factory
