"""The service as if it contained no telemetry."""

from fastapi import FastAPI
from sqlalchemy.pool import AsyncAdaptedQueuePool

from app import main
from app.core import engine, telemetry

engine.ObservedPool = AsyncAdaptedQueuePool
telemetry.install = telemetry.observe = lambda *_: None
telemetry.wrap = lambda app, _: app
main.FastAPI = lambda **options: FastAPI(
    **options, telemetry={"tracing": False, "metrics": False, "logs": False}
)

from app.asgi import app  # noqa: E402, F401
