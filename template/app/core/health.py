"""Liveness and readiness probes."""

import asyncio

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from app.core.errors import DATABASE_UNAVAILABLE, RETRY_AFTER
from app.core.problems import RESPONSES

READY_TIMEOUT = 3.0
"""Seconds to wait for the database."""

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

    try:
        async with asyncio.timeout(READY_TIMEOUT):
            async with request.app.state.read_session_factory() as session:
                state = await migrations.state(await session.connection())
    except (SQLAlchemyError, TimeoutError) as error:
        raise HTTPException(503, DATABASE_UNAVAILABLE, RETRY_AFTER) from error
    if state == "pending":
        raise HTTPException(503, migrations.pending_message(), RETRY_AFTER)
    return Health()
