"""Telemetry is off, or needs a package, or is the service's own."""

import importlib.util
from typing import Any

import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from app.core import CoreSettings
from app.core.telemetry import otlp
from tests.proofs.kit import create_app

EXTRAS: dict[str, dict[str, Any]] = {
    "telemetry": {"otel_exporter_otlp_endpoint": "http://127.0.0.1:4318"},
    "metrics": {"metrics_port": 9090},
    "sentry": {"sentry_dsn": "http://key@127.0.0.1/1"},
}


@pytest.fixture(autouse=True)
def _same_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`install` sets these variables."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    for name in ("OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_TIMEOUT"):
        monkeypatch.setenv(name, "kept")


def test_telemetry_is_off_by_default(settings: CoreSettings) -> None:
    """FastAPI would look for someone who collects it, at each request."""
    app = create_app(settings)

    assert not app._telemetry["tracing"]
    assert app._native_telemetry.config is app._telemetry


def test_telemetry_that_the_service_configures_is_kept(settings: CoreSettings) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    app = create_app(settings, telemetry={"tracer_provider": provider})
    assert app._telemetry["tracing"]

    app = FastAPI(telemetry={"exclude": bool})
    otlp.install(app, "http://127.0.0.1:4318")
    assert app._telemetry["exclude"] is bool
    assert app._telemetry["auto_configure"]


def test_telemetry_that_others_have_configured_is_kept(
    settings: CoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example `opentelemetry-instrument`."""
    monkeypatch.setattr(
        trace, "get_tracer_provider", lambda: TracerProvider(shutdown_on_exit=False)
    )

    assert create_app(settings)._telemetry["tracing"]


@pytest.mark.parametrize("extra", EXTRAS)
def test_setting_without_its_package_is_refused(
    settings: CoreSettings, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.telemetry.find_spec", lambda name: None)
    settings = CoreSettings(database_url=settings.database_url, **EXTRAS[extra])

    with pytest.raises(SystemExit, match=rf"\[core,{extra}\]\", and run `uv sync`"):
        create_app(settings)


def test_all_extras_are_named_at_once(
    settings: CoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is installed: it belongs to the dependency, too."""
    monkeypatch.setattr(
        "app.core.telemetry.find_spec", lambda name: None if name == "sentry_sdk" else True
    )
    values = EXTRAS["telemetry"] | EXTRAS["sentry"]
    settings = CoreSettings(database_url=settings.database_url, **values)

    with pytest.raises(SystemExit, match=r"^SENTRY_DSN .*\[core,telemetry,sentry\]"):
        create_app(settings)


def test_automatic_configuration_of_fastapi_is_kept(
    settings: CoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")

    assert create_app(settings)._telemetry["tracing"]


def test_packages_are_those_of_the_extras() -> None:
    """The names that `install` looks for."""
    for name in ("opentelemetry.sdk", "prometheus_client", "sentry_sdk"):
        assert importlib.util.find_spec(name)
