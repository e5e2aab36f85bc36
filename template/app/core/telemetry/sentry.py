"""Reports of errors to Sentry, without data of requests or of the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import sentry_sdk
import structlog
from fastapi import FastAPI, Request, Response
from sentry_sdk.integrations.fastapi import FastApiIntegration
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.integrations.starlette import StarletteIntegration
from sqlalchemy.exc import DBAPIError

from app.core.dialect import DRIVER_PACKAGES, error_code
from app.core.distribution import distribution
from app.core.errors import HANDLERS

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

KEPT = frozenset(
    {
        *("event_id", "timestamp", "level", "logger", "platform", "exception"),
        *("release", "environment", "server_name", "sdk"),
    }
)
"""Parts of a report. Others, such as the request, contain data."""

DISCREET = frozenset({"fastapi", "pydantic_core", "sqlalchemy", *DRIVER_PACKAGES})
"""Packages whose error messages repeat values."""

IDS = frozenset({"request_id", "trace_id", "span_id"})


def install(app: FastAPI, dsn: str) -> None:
    """Report unexpected errors, and errors that are logged with the standard library."""
    name, version = distribution()
    ignore_logger("opentelemetry.*")  # reports that a collector does not answer, again and again
    expected: set[int] = set()  # a status that the service chose, such as 503, is no error
    sentry_sdk.init(
        dsn,
        release=f"{name}@{version}",
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_enabling_integrations=False,
        integrations=[
            StarletteIntegration(failed_request_status_codes=expected),
            FastApiIntegration(failed_request_status_codes=expected),
        ],
        before_send=scrub,
    )
    handle = HANDLERS[DBAPIError]

    async def handle_and_report(request: Request, error: Exception) -> Response:
        response: Response = await handle(request, error)
        if response.status_code == 500:
            sentry_sdk.capture_exception(error)
        return response

    if app.exception_handlers[DBAPIError] is handle:
        app.add_exception_handler(DBAPIError, handle_and_report)


def scrub(event: Event, hint: Hint) -> Event:
    """Return a report without data; its tags are the IDs in the log."""
    _, error, _ = hint.get("exc_info") or (None, None, None)
    code = next((error_code(one) for one in _chain(error) if isinstance(one, DBAPIError)), None)
    for value in event.get("exception", {}).get("values", []):
        if (value.get("module") or "").partition(".")[0] in DISCREET:
            value["value"] = f"code {code}" if code else ""
    scrubbed = cast("Event", {key: value for key, value in event.items() if key in KEPT})
    if message := event.get("logentry", {}).get("message"):
        scrubbed["logentry"] = {"message": message}
    if event.get("transaction_info", {}).get("source") == "route":
        scrubbed["transaction"] = event["transaction"]
    context = structlog.contextvars.get_contextvars()
    scrubbed["tags"] = {key: value for key, value in context.items() if key in IDS}
    return scrubbed


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that led to it."""
    while error:
        yield error
        error = error.__cause__ or error.__context__
