"""The application: what it is made of, and what it opens and closes."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from app import DISTRIBUTION, PROJECT_NAME, errors, features, health, schema
from app.database import create_session_factory
from app.engine import create_engine
from app.limits import BodyLimitMiddleware
from app.logs import RequestLogMiddleware
from app.settings import Settings

VERSION = version(DISTRIBUTION)


@asynccontextmanager
async def lifespan(app: FastAPI, engine: AsyncEngine | None = None) -> AsyncIterator[None]:
    """Open the database for as long as the application runs."""
    async with AsyncExitStack() as stack:
        if engine is None:
            engine = create_engine(app.state.settings)
            stack.push_async_callback(engine.dispose)
            await schema.report(engine)
        app.state.engine = engine
        app.state.session_factory = create_session_factory(engine)
        yield


def create_app(settings: Settings, engine: AsyncEngine | None = None) -> FastAPI:
    """Assemble an application that is independent of any other in this process.

    Args:
        settings: what can be different from one deployment to the next.
        engine: a database that the caller opens and closes; without one, the
            application opens that of the settings when it starts, and reports
            whether its schema is up to date.
    """
    app = FastAPI(
        title=PROJECT_NAME,
        version=VERSION,
        lifespan=partial(lifespan, engine=engine),
        responses=errors.RESPONSES,
    )
    app.state.settings = settings
    errors.add_handlers(app)
    app.add_middleware(BodyLimitMiddleware, max_body_size=settings.max_body_size)
    features.install(app, settings)
    # The last one is the outermost: add others above it, to have their answers logged.
    app.add_middleware(RequestLogMiddleware)
    app.include_router(health.router)
    for router in features.routers():
        app.include_router(router)
    return app
