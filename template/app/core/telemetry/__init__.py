"""Traces, metrics and error reports. Each is off until its setting is set.

The packages belong to optional extras of the service: `telemetry`, `metrics` and `sentry`.
"""

from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp

from app.core.distribution import distribution
from app.core.pool import ObservedPool
from app.core.settings import TelemetrySettings
from app.core.telemetry import otlp


def install(app: FastAPI, settings: TelemetrySettings) -> None:
    """Set up what the settings ask for.

    Raises:
        SystemExit: a package is not installed; the message says how to install it.
    """
    _require_packages(settings)
    if settings.otel_exporter_otlp_endpoint:
        otlp.install(app, settings.otel_exporter_otlp_endpoint)
    else:
        otlp.switch_off(app)
    if settings.sentry_dsn:
        from app.core.telemetry import sentry

        sentry.install(app, settings.sentry_dsn.get_secret_value())


def wrap(app: ASGIApp, settings: TelemetrySettings) -> ASGIApp:
    """Return an application whose requests are observed."""
    if settings.metrics_port:
        from app.core.telemetry import prometheus

        app = prometheus.MetricsMiddleware(app)
    if settings.otel_exporter_otlp_endpoint:
        app = otlp.SpanMiddleware(app)
    return app


def observe(engine: AsyncEngine, name: str, settings: TelemetrySettings) -> None:
    """Observe the statements and the pool of an engine.

    Args:
        engine: the engine.
        name: the name of its pool in metrics.
        settings: the settings.
    """
    pool = engine.pool
    if settings.otel_exporter_otlp_endpoint:
        otlp.trace_statements(engine)
        if isinstance(pool, ObservedPool):
            otlp.observe_pool(pool, name)
    if settings.metrics_port and isinstance(pool, ObservedPool):
        from app.core.telemetry import prometheus

        pool.observe(prometheus.PoolMetrics(name))


def serving_metrics(
    settings: TelemetrySettings, host: str, workers: int
) -> AbstractContextManager[None]:
    """Return a context in which metrics of the workers are served, if METRICS_PORT is set."""
    if not settings.metrics_port:
        return nullcontext()
    from app.core.telemetry import prometheus

    return prometheus.serving(host, settings.metrics_port, workers)


def _require_packages(settings: TelemetrySettings) -> None:
    packages = {
        "otel_exporter_otlp_endpoint": ("telemetry", "opentelemetry.sdk"),
        "metrics_port": ("metrics", "prometheus_client"),
        "sentry_dsn": ("sentry", "sentry_sdk"),
    }
    used = {name: packages[name] for name in packages if getattr(settings, name)}
    missing = [name.upper() for name, (_, module) in used.items() if not find_spec(module)]
    if missing:
        extras = ",".join(["core", *(extra for extra, _ in used.values())])
        raise SystemExit(
            f"{' and '.join(missing)} cannot be used, because packages are missing: change the "
            f'dependency in pyproject.toml to "{distribution()[0]}[{extras}]", and run `uv sync`.'
        )
