"""Probes for whoever runs the service: is it alive, and can it serve?"""

import asyncio

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from app import schema
from app.errors import DATABASE_UNAVAILABLE, RETRY_AFTER

READY_TIMEOUT = 3.0
"""Seconds that the database has to answer."""

router = APIRouter(prefix="/health", tags=["health"])


class Health(BaseModel):
    """A probe that succeeded."""

    status: str = "ok"


@router.get("/live")
async def live() -> Health:
    """Say that the process runs; a failure means that it should be restarted."""
    return Health()


@router.get("/ready")
async def ready(request: Request) -> Health:
    """Say whether the database answers and has the schema that this version needs, or a newer one."""
    try:
        async with asyncio.timeout(READY_TIMEOUT):
            state = await schema.state(request.app.state.engine)
    except (SQLAlchemyError, TimeoutError) as error:
        raise HTTPException(503, DATABASE_UNAVAILABLE, RETRY_AFTER) from error
    if state.pending:
        raise HTTPException(503, schema.PENDING, RETRY_AFTER)
    return Health()
