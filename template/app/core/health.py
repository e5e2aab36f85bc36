"""Liveness and readiness probes."""

import asyncio

import structlog
from fastapi import APIRouter, HTTPException, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.core.errors import DATABASE_UNAVAILABLE, RETRY_AFTER, error_reason
from app.core.problems import RESPONSES

READY_TIMEOUT = 3.0
"""Seconds to wait for the database."""

logger = structlog.get_logger(__name__)
router = APIRouter(prefix="/health", tags=["health"], responses=RESPONSES)


class Health(BaseModel):
    """Response of a successful probe."""

    status: str = "ok"


@router.get("/live")
async def live() -> Health:
    """Liveness probe: succeeds while the process is running."""
    return Health()


@router.get("/ready")
async def ready(request: Request) -> Health:
    """Readiness probe: succeeds if the database is reachable and its schema is not out of date."""
    # Alembic is slow to import, and `import app.main` must stay fast.
    from app.core import migrations

    if request.app.state.shutdown.draining:
        raise HTTPException(503, "The service is shutting down.", RETRY_AFTER)
    try:
        async with (
            asyncio.timeout(READY_TIMEOUT),
            request.app.state.health_engine.connect() as connection,
        ):
            state = await migrations.state(connection)
    except (SQLAlchemyError, TimeoutError) as error:
        reason = error_reason(error) if isinstance(error, DBAPIError) else str(error)
        logger.warning("not ready", reason=reason or f"no answer within {READY_TIMEOUT:g} seconds")
        raise HTTPException(503, DATABASE_UNAVAILABLE, RETRY_AFTER) from error
    if state == "pending":
        reason = migrations.pending_message()
        logger.warning("not ready", reason=reason)
        raise HTTPException(503, reason, RETRY_AFTER)
    return Health()


PATHS = {route.path for route in router.routes if isinstance(route, APIRoute)}
