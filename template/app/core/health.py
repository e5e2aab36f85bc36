"""Liveness and readiness probes."""

import asyncio

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from app.core.errors import DATABASE_UNAVAILABLE, RESPONSES, RETRY_AFTER

READY_TIMEOUT = 3.0
"""Seconds that the database has to answer."""

router = APIRouter(prefix="/health", tags=["health"], responses=RESPONSES)


class Health(BaseModel):
    """The answer to a successful probe."""

    status: str = "ok"


@router.get("/live")
async def live() -> Health:
    """Report that the process runs; restart it if this fails."""
    return Health()


@router.get("/ready")
async def ready(request: Request) -> Health:
    """Report whether the database answers and its schema is up to date, or newer."""
    # Imported here, because Alembic takes long to import and requests do not need it.
    from app.core import migrations

    try:
        async with asyncio.timeout(READY_TIMEOUT):
            async with request.app.state.read_session_factory() as session:
                state = await migrations.state(await session.connection())
    except (SQLAlchemyError, TimeoutError) as error:
        raise HTTPException(503, DATABASE_UNAVAILABLE, RETRY_AFTER) from error
    if state == "pending":
        raise HTTPException(503, migrations.pending_message(), RETRY_AFTER)
    return Health()
