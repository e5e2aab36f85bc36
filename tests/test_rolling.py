"""Deployments of a new version while the service is used."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import programs, services
from support.balancing import Load, balanced, missing_haproxy
from support.databases import DatabaseServer
from support.projects import Project
from support.questions import Combination, first_of
from support.services import Service

COMBINATIONS = [first_of("postgresql"), first_of("mysql")]

REQUESTS = 2000
CLIENTS = 4

COLUMN = '    genre: Mapped[str] = mapped_column(String(50), server_default="")\n'


@pytest.mark.needs_server
@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_no_request_fails_during_a_deployment(
    combination: Combination,
    kept_projects: Callable[[Combination], Project],
    make_project: Callable[..., Project],
    servers: Callable[[Combination], DatabaseServer],
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    """One process is replaced by two workers of the next version, and they by one process."""
    if reason := missing_haproxy():
        if pytestconfig.getoption("require_all"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    url = servers(combination).create()
    environment = {
        "DATABASE_URL": url,
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "WARNING",
        "DATABASE_POOL_SIZE": "4",
    }
    old = kept_projects(combination).with_settings(**environment)
    new = make_project(tmp_path / "new", combination).with_settings(**environment)
    new.sync()
    old.uv_run(old.slug, "db", "upgrade")
    expand(new)

    ports = [programs.free_port() for _ in range(3)]
    with serving(old, ports[0]) as first, balanced(ports, tmp_path) as balancer:
        balancer.wait_for(ports[0])
        load = Load(balancer.port, CLIENTS)
        try:
            load.wait_for(REQUESTS // 10)
            new.uv_run(new.slug, "db", "upgrade")
            with serving(new, ports[1], "--workers", "2") as second:
                balancer.wait_for(ports[0], ports[1])
                stop(first)
                load.wait_for(REQUESTS // 5)
                with serving(new, ports[2]):
                    balancer.wait_for(ports[1], ports[2])
                    stop(second)
                    load.wait_for(max(REQUESTS - load.requests, REQUESTS // 10))
                    load.stop()
        finally:
            load.stop()

    assert load.failures == []
    assert load.requests >= REQUESTS


def expand(project: Project) -> None:
    """Add a column to a model, and write its migration."""
    models = project.path / "app" / "songs" / "models.py"
    models.write_text(models.read_text(encoding="utf-8") + COLUMN, encoding="utf-8")
    project.uv_run(project.slug, "db", "revision", "-m", "add genres")


@contextmanager
def serving(project: Project, port: int, *arguments: str) -> Iterator[Service]:
    """Serve as in production."""
    draining = {"DRAIN_TIMEOUT": "1"}
    command = (project.slug, "serve")
    with services.running(project, draining, *arguments, command=command, port=port) as service:
        yield service


def stop(service: Service) -> None:
    """Drain and stop a service that serves requests."""
    service.process.terminate()
    service.process.wait(services.STOP_TIMEOUT)
