"""Logs: one structured line an event, JSON for machines and colours for a terminal."""

import logging
import re
import sys
import time
from random import getrandbits
from urllib.parse import quote

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import Processor

from app.settings import Settings

REQUEST_ID_HEADER = "X-Request-ID"
REQUEST_ID = re.compile(r"[\w.:+/=-]{1,128}", re.ASCII)
"""What is taken over from a client; anything else could forge lines in a log."""

TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure_logging(settings: Settings) -> None:
    """Send this process's logs, the server's and the libraries' included, to standard output."""
    as_json = settings.log_format == "json" or (
        settings.log_format == "auto" and not sys.stdout.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Without local variables, which hold what clients sent.
    render: list[Processor] = (
        [TRACEBACKS, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    )
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
        # RequestLogMiddleware logs accesses, with the request's id; the server does not
        # even put its own line together if nobody would handle it.
        logging.getLogger(name).propagate = name != "uvicorn.access"


class RequestLogMiddleware:
    """Gives every request an id, and logs a line when it is done.

    The id is the client's `X-Request-ID` or a new one. It is in the response's
    header, in every line logged on the way, and in `request.state.request_id`.

    Plain ASGI, because `BaseHTTPMiddleware` costs time on each request and breaks
    context variables: https://starlette.dev/middleware/#limitations
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.header = REQUEST_ID_HEADER.lower().encode()  # as ASGI spells it
        # Bound here, which else would happen at each request.
        self.logger = structlog.get_logger(__name__).bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        request_id = dict(scope["headers"]).get(self.header, b"").decode("latin-1")
        if not REQUEST_ID.fullmatch(request_id):
            # Not from the system's randomness, which a mere name does not need: that is slower.
            request_id = f"{getrandbits(128):032x}"
        scope.setdefault("state", {})["request_id"] = request_id
        # Not unbound at the end: the server logs an unexpected error after that.
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
            self.logger.info(
                "request",
                method=scope["method"],
                path=quote(scope["path"]),  # which may have been sent to control a terminal
                status=status,
                milliseconds=round((time.perf_counter() - started) * 1000, 2),
            )
