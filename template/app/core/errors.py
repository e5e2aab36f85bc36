"""Error responses: problem details (RFC 9457)."""

from http.client import responses
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
)
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.responses import JSONResponse
from fastapi.utils import is_body_allowed_for_status_code
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException

from app.core.dialect import error_code, is_missing_value, is_unavailable
from app.core.logs import REQUEST_ID_HEADER
from app.core.types import UnstorableError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = {"Retry-After": "5"}
DATABASE_UNAVAILABLE = "The database is busy or cannot be reached."

logger = structlog.get_logger(__name__)


class Problem(BaseModel):
    """Body of an error response (RFC 9457)."""

    type: str = Field(default="about:blank", description="URI that identifies the problem type.")
    title: str = Field(description="Reason phrase of the HTTP status.")
    status: int = Field(description="HTTP status code.")
    detail: str = Field(description="Explanation specific to this request.")
    request_id: str | None = Field(
        default=None, description="ID of the request in the service's logs."
    )
    errors: list[dict[str, Any]] | None = Field(
        default=None, description="Validation errors of the request."
    )


RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Error",
        "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
    }
}
"""OpenAPI description of the error responses of all operations."""


def install(app: FastAPI) -> None:
    """Add the error handlers, except for errors that the service handles itself."""
    app.router.responses = RESPONSES | app.router.responses
    for error, handler in HANDLERS.items():
        if app.exception_handlers.get(error) in FASTAPI_HANDLERS:
            app.add_exception_handler(error, handler)


def error_reason(error: DBAPIError) -> str:
    """Return the first line of the driver's error message."""
    return str(error.orig).partition("\n")[0]


async def _http_error(request: Request, error: HTTPException) -> Response:
    if not is_body_allowed_for_status_code(error.status_code):
        return Response(status_code=error.status_code, headers=error.headers)
    return _problem(request, error.status_code, str(error.detail), headers=error.headers)


async def _invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
    # Without `input` and `ctx`, which can contain secrets or values that are not JSON.
    errors = [{key: item[key] for key in ("loc", "msg", "type")} for item in error.errors()]
    status = 400 if any(item["type"] == "json_invalid" for item in errors) else 422
    return _problem(request, status, "The request is invalid.", errors=errors)


async def _database_error(request: Request, error: DBAPIError) -> JSONResponse:
    if is_unavailable(error):
        logger.warning(
            "database unavailable",
            error=type(error.orig).__name__,
            code=error_code(error),
            statement=error.statement,
        )
        return unavailable(request)
    # A missing value is a bug of the service, and no conflict.
    conflict = isinstance(error, IntegrityError) and not is_missing_value(error)
    log = logger.info if conflict else logger.error
    log(
        "database error",
        error=type(error).__name__,
        code=error_code(error),
        statement=error.statement,
    )
    # The driver's message can contain values from the request.
    logger.debug("database error details", exc_info=error)
    if conflict:
        return _problem(request, 409, "The request conflicts with existing data.")
    return _problem(request, 500, "The request could not be processed.")


async def _unstorable_value(request: Request, error: StatementError) -> JSONResponse:
    if not isinstance(error.orig, UnstorableError):
        raise error
    logger.warning("value cannot be stored", statement=error.statement)
    return _problem(request, 422, str(error.orig))


async def _invalid_response(request: Request, error: ResponseValidationError) -> Response:
    logger.error(
        "The response does not fit its model. Flush the session before returning a new object."
    )
    raise error


async def _overtaken(request: Request, error: StaleDataError) -> JSONResponse:
    return _problem(request, 409, "Another request changed or deleted the data.")


async def _pool_exhausted(request: Request, error: PoolTimeoutError) -> JSONResponse:
    logger.warning("database connection pool exhausted")
    return unavailable(request)


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    # The server logs the error.
    response = _problem(request, 500, "The request could not be processed.")
    if request_id := getattr(request.state, "request_id", None):
        response.headers[REQUEST_ID_HEADER] = request_id
    response.headers["Connection"] = "close"  # the server closes it after an error
    return response


def unavailable(request: Request, detail: str = DATABASE_UNAVAILABLE) -> JSONResponse:
    """Return a response with status 503."""
    return _problem(request, 503, detail, headers=RETRY_AFTER)


def _problem(
    request: Request,
    status: int,
    detail: str,
    *,
    headers: Any = None,
    errors: list[dict[str, Any]] | None = None,
) -> JSONResponse:
    problem = Problem(
        title=responses.get(status, "Error"),
        status=status,
        detail=detail,
        request_id=getattr(request.state, "request_id", None),
        errors=errors,
    )
    return JSONResponse(
        jsonable_encoder(problem, exclude_none=True), status, headers=headers, media_type=MEDIA_TYPE
    )


HANDLERS: dict[type[Exception], Any] = {
    HTTPException: _http_error,
    RequestValidationError: _invalid_request,
    ResponseValidationError: _invalid_response,
    StatementError: _unstorable_value,
    DBAPIError: _database_error,
    StaleDataError: _overtaken,
    PoolTimeoutError: _pool_exhausted,
    Exception: _unexpected_error,
}
FASTAPI_HANDLERS = (None, http_exception_handler, request_validation_exception_handler)
"""Handlers that `install` replaces: none, or FastAPI's defaults."""
