"""Traces and metrics by OpenTelemetry. FastAPI observes requests, and this module the database."""

import os
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import structlog
from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, CallbackT, Observation
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import ExceptionContext, TextClause, event
from sqlalchemy.engine import Compiled
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql import visitors
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.dialect import error_code
from app.core.distribution import distribution
from app.core.health import PATHS
from app.core.pool import ObservedPool

tracer = trace.get_tracer("app.core")
meter = metrics.get_meter("app.core")
WORD = re.compile(r"\W*(\w+)")
pools: dict[str, ObservedPool] = {}
"""The pools that metrics describe, by name; also at the end, after they were closed."""


def install(app: FastAPI, endpoint: str) -> None:
    """Let FastAPI send traces and metrics when the application starts.

    Arguments of `FastAPI(telemetry=...)` that differ from FastAPI's defaults are kept.
    """
    name, version = distribution()
    # FastAPI and OpenTelemetry read their settings only from the environment.
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    own = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")  # wins, because it comes last
    resource = f"service.name={name},service.version={version},{own}".removesuffix(",")
    os.environ["OTEL_RESOURCE_ATTRIBUTES"] = resource
    # At its end, the service waits so many seconds for each of the two.
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "4")
    ours = {
        "auto_configure": True,
        "logs": False,  # these contain messages of exceptions, and so values
        "operation_spans": False,  # these double the costs
        "exclude": _is_probe,
    }
    current, default = _configuration(app), _configuration(FastAPI(openapi_url=None))
    current.update({key: ours[key] for key in ours if current.get(key) == default.get(key)})


def switch_off(app: FastAPI) -> None:
    """Save the time in which FastAPI finds out, at each request, that nobody wants telemetry.

    It stays on for those who configure it in another way, before this function is called.
    """
    current, default = _configuration(app), _configuration(FastAPI(openapi_url=None))
    unknown = isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    if unknown and current == default and not current.get("auto_configure"):
        current.update(tracing=False, metrics=False, logs=False)


def _configuration(app: FastAPI) -> dict[str, Any]:
    # Private, because only `FastAPI(...)` can set it, which the service calls. Without this
    # attribute, FastAPI would decide about its telemetry.
    configuration: dict[str, Any] = getattr(app, "_telemetry", {})
    return configuration


def _is_probe(scope: Any) -> bool:
    return scope["path"] in PATHS


class SpanMiddleware:
    """Removes the query from the span of a request, and adds its IDs to the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""
        if scope["type"] in {"http", "websocket"}:
            span = trace.get_current_span()
            context = span.get_span_context()
            if context.is_valid:
                structlog.contextvars.bind_contextvars(
                    trace_id=trace.format_trace_id(context.trace_id),
                    span_id=trace.format_span_id(context.span_id),
                )
            if scope.get("query_string"):
                span.set_attribute("url.query", "REDACTED")
        await self.app(scope, receive, send)


def trace_statements(engine: AsyncEngine) -> None:
    """Add a span for each statement to the spans of requests, without any values."""
    system = engine.dialect.name

    @event.listens_for(engine.sync_engine, "before_cursor_execute", named=True)
    def start(statement: str, context: Any, **_: object) -> None:
        context.span = None
        if not trace.get_current_span().is_recording():
            return
        word = WORD.match(statement)
        operation = word[1].upper() if word else "SQL"
        attributes = {"db.system.name": system, "db.operation.name": operation}
        if context.compiled and not _contains_text(context.compiled):
            attributes["db.query.text"] = statement
        context.span = tracer.start_span(operation, kind=SpanKind.CLIENT, attributes=attributes)

    @event.listens_for(engine.sync_engine, "after_cursor_execute", named=True)
    def end(context: Any, **_: object) -> None:
        if context.span:
            context.span.end()

    @event.listens_for(engine.sync_engine, "handle_error")
    def fail(context: ExceptionContext) -> None:
        span = getattr(context.execution_context, "span", None)
        if span:
            error = context.sqlalchemy_exception
            code = error_code(error) if isinstance(error, DBAPIError) else None
            span.set_attribute("error.type", str(code or type(context.original_exception).__name__))
            span.set_status(StatusCode.ERROR)
            span.end()


@lru_cache(500)  # as many as SQLAlchemy keeps
def _contains_text(compiled: Compiled) -> bool:
    """Return whether a part of the statement is SQL of the service, which can contain values."""
    return any(
        isinstance(part, TextClause) or getattr(part, "is_literal", False)
        for part in visitors.iterate(compiled.statement)
    )


def observe_pool(pool: ObservedPool, name: str) -> None:
    """Add the numbers of a pool to the metrics."""

    def keep(pool: ObservedPool) -> None:
        pools[name] = pool  # a new one replaces it when the engine is disposed of

    pool.observe(keep)


def _numbers(read: Callable[[ObservedPool], int], **attributes: str) -> CallbackT:
    names = {key.replace("_", "."): value for key, value in attributes.items()}

    def observe(_: CallbackOptions) -> list[Observation]:
        return [
            Observation(read(pool), {"db.client.connection.pool.name": name, **names})
            for name, pool in pools.items()
        ]

    return observe


# https://opentelemetry.io/docs/specs/semconv/database/database-metrics/
meter.create_observable_gauge(
    "db.client.connection.count",
    [_numbers(ObservedPool.checkedout, db_client_connection_state="used")],
    "{connection}",
    "Database connections that are in use.",
)
meter.create_observable_gauge(
    "db.client.connection.max",
    [_numbers(ObservedPool.size)],
    "{connection}",
    "Maximum number of database connections.",
)
meter.create_observable_gauge(
    "db.client.connection.pending_requests",
    [_numbers(lambda pool: pool.waiting)],
    "{request}",
    "Tasks that wait for a database connection.",
)
meter.create_observable_counter(
    "db.client.connection.timeouts",
    [_numbers(lambda pool: pool.timeouts)],
    "{timeout}",
    "Tasks that have waited for a database connection in vain.",
)
