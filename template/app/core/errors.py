"""Handlers that turn errors into problem details (RFC 9457)."""

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
)
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.responses import JSONResponse
from fastapi.utils import is_body_allowed_for_status_code
from sqlalchemy.exc import DBAPIError, NoResultFound, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from app.core.conflicts import conflict_message
from app.core.dialect import (
    error_code,
    is_conflict,
    is_unavailable,
    is_unstorable,
    violated_constraint,
)
from app.core.logs import REQUEST_ID_HEADER
from app.core.problems import MEDIA_TYPE, RESPONSES, Problem, ProblemError, reason_phrase
from app.core.types import UnstorableError

RETRY_AFTER = {"Retry-After": "5"}
DATABASE_UNAVAILABLE = "The database is busy or cannot be reached."
CONFLICT = "The request conflicts with existing data."
UNSTORABLE = "A value is too long, out of range, or contains characters that cannot be stored."
MAX_ERRORS = 50
"""Maximum number of validation errors in a response."""
MAX_LENGTH = 500
"""Maximum length of the texts of a validation error, which can contain keys of the request."""

logger = structlog.get_logger(__name__)


def install(app: FastAPI) -> None:
    """Add the error handlers, except for errors that the service handles itself."""
    app.router.responses = RESPONSES | app.router.responses
    for error, handler in HANDLERS.items():
        # Starlette treats the status 500 like Exception.
        own = {error, 500} if error is Exception else {error}
        if {app.exception_handlers.get(key) for key in own} <= FASTAPI_HANDLERS:
            app.add_exception_handler(error, handler)


def error_reason(error: DBAPIError) -> str:
    """Return the first line of the driver's error message."""
    return str(error.orig).partition("\n")[0]


async def http_error(request: HTTPConnection, error: HTTPException) -> Response:
    """Return the response to an HTTPException."""
    if not is_body_allowed_for_status_code(error.status_code):
        return Response(status_code=error.status_code, headers=error.headers)
    return _problem(request, error.status_code, str(error.detail), headers=error.headers)


async def refuse(scope: Scope, receive: Receive, send: Send, error: HTTPException) -> None:
    """Answer a request that the application does not see."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})  # uvicorn logs a response as an error
        return
    response = await http_error(HTTPConnection(scope), error)
    await response(scope, receive, send)


async def _invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
    found = error.errors()
    status = 400 if any(item["type"] == "json_invalid" for item in found) else 422
    detail = "The request is invalid."
    if len(found) > MAX_ERRORS:
        detail += f" The first {MAX_ERRORS} of {len(found)} errors are listed."
    # Without `input` and `ctx`, which can contain secrets or values that are not JSON.
    errors = [
        {
            "loc": [_shorten(part) for part in item["loc"]],
            "msg": _shorten(item["msg"]),
            "type": item["type"],
        }
        for item in found[:MAX_ERRORS]
    ]
    return _problem(request, status, detail, errors=errors)


def _shorten(part: str | int) -> str | int:
    return part if isinstance(part, int) else part[:MAX_LENGTH]


async def _defined_by_feature(request: Request, error: ProblemError) -> JSONResponse:
    return _respond(request, error.problem, error.headers)


async def _database_error(request: Request, error: DBAPIError) -> JSONResponse:
    if is_unavailable(error):
        logger.warning(
            "database unavailable",
            error=type(error.orig).__name__,
            code=error_code(error),
            statement=error.statement,
        )
        return unavailable(request)
    status, detail, log = 500, "The request could not be processed.", logger.error
    violated = None
    if is_unstorable(error):
        status, detail, log = 422, UNSTORABLE, logger.warning
    elif is_conflict(error):
        violated = violated_constraint(error)
        message = conflict_message(violated) if violated else None
        status, detail, log = 409, message or CONFLICT, logger.info
    log(
        "database error",
        error=type(error).__name__,
        code=error_code(error),
        constraint=violated,
        statement=error.statement,
    )
    # The driver's message can contain values from the request.
    logger.debug("database error details", exc_info=error)
    return _problem(request, status, detail)


async def _statement_error(request: Request, error: StatementError) -> JSONResponse:
    if not isinstance(error.orig, UnstorableError):
        raise error
    return await _unstorable_value(request, error.orig, error)


async def _unstorable_value(
    request: Request, error: UnstorableError, cause: StatementError | None = None
) -> JSONResponse:
    statement = cause.statement if cause else None
    logger.warning("value cannot be stored", reason=str(error), statement=statement)
    logger.debug("value cannot be stored: details", exc_info=cause or error)
    return _problem(request, 422, str(error))


async def _row_not_found(request: Request, error: NoResultFound) -> JSONResponse:
    return _problem(request, 404, "The requested data does not exist.")


async def _invalid_response(request: Request, error: ResponseValidationError) -> Response:
    logger.error(
        "The response does not match its model. "
        "If the handler returned a new object, flush the session first."
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
    request: HTTPConnection,
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, Any]] | None = None,
) -> JSONResponse:
    problem = Problem(title=reason_phrase(status), status=status, detail=detail, errors=errors)
    return _respond(request, problem, headers)


def _respond(
    request: HTTPConnection, problem: Problem, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    problem.request_id = getattr(request.state, "request_id", None)
    return JSONResponse(
        problem.model_dump(mode="json", exclude=_unset(problem)),
        problem.status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def _unset(problem: Problem) -> set[str]:
    return {name for name in ("request_id", "errors") if getattr(problem, name) is None}


HANDLERS: dict[type[Exception], Any] = {
    HTTPException: http_error,
    RequestValidationError: _invalid_request,
    ResponseValidationError: _invalid_response,
    ProblemError: _defined_by_feature,
    StatementError: _statement_error,
    UnstorableError: _unstorable_value,
    DBAPIError: _database_error,
    NoResultFound: _row_not_found,
    StaleDataError: _overtaken,
    PoolTimeoutError: _pool_exhausted,
    Exception: _unexpected_error,
}
FASTAPI_HANDLERS = {None, http_exception_handler, request_validation_exception_handler}
"""Handlers that `install` replaces: none, or FastAPI's defaults."""
