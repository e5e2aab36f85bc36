"""Metrics for Prometheus, on a port of their own."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.pool import ObservedPool
from app.core.routes import route_of

disable_created_metrics()  # they would double the number of series

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

# The names are those of OpenTelemetry:
# https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
requests = Histogram(
    "http_server_request_duration_seconds",
    "Duration of HTTP requests.",
    ["http_request_method", "http_route", "http_response_status_code"],
)
active = Gauge(
    "http_server_active_requests",
    "HTTP requests that are being answered.",
    multiprocess_mode="livesum",
)
connections = Gauge(
    "db_client_connection_count",
    "Database connections that are in use.",
    ["pool"],
    multiprocess_mode="livesum",
)
maximum = Gauge(
    "db_client_connection_max",
    "Maximum number of database connections.",
    ["pool"],
    multiprocess_mode="livesum",
)
pending = Gauge(
    "db_client_connection_pending_requests",
    "Tasks that wait for a database connection.",
    ["pool"],
    multiprocess_mode="livesum",
)
timeouts = Counter(
    "db_client_connection_timeouts",
    "Tasks that have waited for a database connection in vain.",
    ["pool"],
)


class MetricsMiddleware:
    """Measures the duration of requests, by route."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        _forget_dead_workers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        status = 500

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        active.inc()
        try:
            await self.app(scope, receive, watched_send)
        finally:
            active.dec()
            method = scope["method"] if scope["method"] in METHODS else "_OTHER"
            route = getattr(route_of(scope), "path_format", "")
            requests.labels(method, route, status).observe(time.perf_counter() - started)


class PoolMetrics:
    """Reports the numbers of a pool."""

    def __init__(self, name: str) -> None:
        self.connections = connections.labels(name)
        self.maximum = maximum.labels(name)
        self.pending = pending.labels(name)
        self.timeouts = timeouts.labels(name)
        self.reported = 0

    def __call__(self, pool: ObservedPool) -> None:
        """Report the numbers after a change."""
        self.connections.set(pool.checkedout())
        self.maximum.set(pool.size())
        self.pending.set(pool.waiting)
        self.timeouts.inc(pool.timeouts - self.reported)
        self.reported = pool.timeouts


@contextmanager
def serving(host: str, port: int, workers: int) -> Iterator[None]:
    """Serve `/metrics`, for all workers that are started in the meantime.

    Raises:
        SystemExit: the port cannot be used.
    """
    with ExitStack() as stack:
        registry = REGISTRY
        if workers > 1:
            # The workers write to files in this folder, which this process reads.
            os.environ[FOLDER] = stack.enter_context(TemporaryDirectory())
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        try:
            server, thread = start_http_server(port, host, registry)
        except OSError as error:
            raise SystemExit(
                f"Error: METRICS_PORT {port} of {host} cannot be used ({error.strerror})."
            ) from None
        stack.callback(thread.join)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        yield


def _forget_dead_workers() -> None:
    """Remove the gauges of workers that this one may replace."""
    if FOLDER not in os.environ:
        return
    for path in Path(os.environ[FOLDER]).glob("gauge_live*.db"):
        number = int(path.stem.rpartition("_")[2])
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            mark_process_dead(number)
        except PermissionError:
            pass  # another user's process has the number now
