"""Structured logging: JSON, or readable lines in a terminal."""

import logging
import re
import sys
import time
from secrets import token_hex
from urllib.parse import quote

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import Processor

from app.core.settings import CoreSettings

REQUEST_ID_HEADER = "X-Request-ID"
PROBES = ("/health/live", "/health/ready")
"""Paths that are requested every few seconds."""
REQUEST_ID = re.compile(r"[\w.:+/=-]{1,128}", re.ASCII)
"""Request IDs accepted from clients; other characters could be used to forge log lines."""


def configure_logging(settings: CoreSettings) -> None:
    """Write all logs to standard output, including those of the server and of libraries."""
    as_json = settings.log_format == "json" or (
        settings.log_format == "auto" and not sys.stdout.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks omit local variables, which can contain secrets.
    render: list[Processor]
    if as_json:
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        render = [
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(),
        ]
    else:
        render = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        # RequestLogMiddleware replaces the access log.
        logging.getLogger(name).propagate = name != "uvicorn.access"
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)  # lists its plugins


class RequestLogMiddleware:
    """Assigns an ID to each request, and logs the request when it completes.

    Successful probes are logged at the level DEBUG.

    The ID is the client's `X-Request-ID` or a random one. It is added to the response
    headers, to all log lines of the request, and to `request.state.request_id`.

    Pure ASGI middleware, because `BaseHTTPMiddleware` breaks context variables:
    https://starlette.dev/middleware/#limitations
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.header = REQUEST_ID_HEADER.lower().encode()  # ASGI header names are lowercase bytes
        self.logger = structlog.get_logger(__name__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        request_id = dict(scope["headers"]).get(self.header, b"").decode("latin-1")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = token_hex(16)
        scope.setdefault("state", {})["request_id"] = request_id
        # Never unbound, because the server logs unexpected errors after this middleware.
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 500
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            path = scope["path"]
            is_probe = path.removeprefix(scope.get("root_path", "")) in PROBES
            log = self.logger.debug if is_probe and status < 400 else self.logger.info
            log(
                "request",
                client=(scope.get("client") or [None])[0],
                method=scope["method"],
                path=quote(path),  # can contain terminal control characters
                status=status,
                milliseconds=round((time.perf_counter() - started) * 1000, 2),
            )
