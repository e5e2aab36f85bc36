"""The application: what it is made of, and what it opens and closes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from app import DISTRIBUTION, PROJECT_NAME, errors, features, health, schema
from app.database import create_session_factory
from app.engine import create_engine
from app.limits import BodyLimitMiddleware
from app.logs import RequestLogMiddleware
from app.settings import Settings


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the database for as long as the application runs."""
    engine = create_engine(app.state.settings)
    app.state.engine = engine
    app.state.session_factory = create_session_factory(engine)
    try:
        await schema.report(engine)
        yield
    finally:
        await engine.dispose()


def create_app(settings: Settings) -> FastAPI:
    """Assemble an application that is independent of any other in this process."""
    app = FastAPI(
        title=PROJECT_NAME,
        version=version(DISTRIBUTION),
        lifespan=lifespan,
        responses=errors.RESPONSES,
    )
    app.state.settings = settings
    app.add_middleware(BodyLimitMiddleware, max_body_size=settings.max_body_size)
    app.add_middleware(RequestLogMiddleware)
    errors.add_handlers(app)
    app.include_router(health.router)
    for router in features.routers():
        app.include_router(router)
    return app
