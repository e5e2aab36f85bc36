"""Images and compose files, built and run as real containers."""

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import containers
from support.compose_files import MAKE_SECRETS
from support.containers import BASE, Engine, Stack, stack
from support.projects import Project
from support.questions import Combination, first_of_each_database

SERVICES = [
    # Names of their own, because all images are in one place.
    Combination(
        each.behaviour, {"container": True, "project_slug": f"{each.database}-in-a-container"}
    )
    for each in first_of_each_database()
]

SLOW = '''\
"""A route that takes its time."""

import asyncio

from fastapi import APIRouter

router = APIRouter()


@router.get("/slow")
async def slow() -> str:
    """Answer after a second."""
    await asyncio.sleep(1)
    return "done"
'''

SONG = {"title": "Levitating", "artist": "Dua Lipa", "released_on": "2020-10-01"}

LOOK = """\
id -u; id -g
touch /app/x /tmp/ok; touch /etc/x
for program in uv gcc cc make git curl; do command -v $program; done
grep CapEff /proc/1/status
"""


@pytest.fixture(scope="session")
def engine(shared_folder: Path, pytestconfig: pytest.Config) -> Iterator[Engine]:
    """Images that all processes of this run share."""
    if reason := containers.missing():
        if pytestconfig.getoption("require_all"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with containers.opened(shared_folder / "containers") as engine:
        yield engine


def make_secrets(project: Project) -> None:
    """Run the command in the compose file, if it has one."""
    text = (project.path / "compose.yaml").read_text(encoding="utf-8")
    for command in MAKE_SECRETS.findall(text):
        project.run("sh", "-c", command)


@pytest.mark.parametrize("combination", SERVICES, ids=str)
def test_container(
    combination: Combination,
    engine: Engine,
    make_project: Callable[..., Project],
    tmp_path: Path,
) -> None:
    """The image is small and runs without rights; the stack starts in order and loses nothing."""
    project = make_project(tmp_path / "service", combination)
    project.run("uv", "lock")
    make_secrets(project)
    engine.build(project.path, project.slug)
    layers = engine.layers(project.slug)
    in_image = ("--rm", "--read-only", "--no-healthcheck", project.slug, project.slug)
    assert "serve" in engine.podman("run", *in_image, "--help")
    parts = engine.image(BASE)["Size"] + engine.bytes_in(project.slug, "/app/.venv")
    assert engine.image(project.slug)["Size"] <= 1.1 * parts

    with stack(engine, project.path) as services:
        services.up("app")

        assert services.started == [*services.databases(), "migrate", "app"]
        confined = engine.podman("exec", services.container("app"), "sh", "-c", LOOK, check=False)
        assert confined.split() == ["10001", "10001", "CapEff:", "0000000000000000"]
        song = json.loads(services.page("app", 8000, "/songs", SONG))

        # A new version of the code.
        slow = project.path / "app" / "slow" / "router.py"
        slow.parent.mkdir()
        slow.write_text(SLOW, encoding="utf-8")
        engine.build(project.path, project.slug)
        rebuilt = engine.layers(project.slug)
        assert rebuilt[:-1] == layers[:-1]
        assert rebuilt[-1] != layers[-1]
        services.replace("app")

        assert json.loads(services.page("app", 8000, f"/songs/{song['id']}")) == song
        with ThreadPoolExecutor() as pool:
            answers = [pool.submit(services.page, "app", 8000, "/slow") for _ in range(8)]
            time.sleep(0.5)
            engine.podman("kill", "--signal=TERM", services.container("app"))
            assert [answer.result() for answer in answers] == [b'"done"'] * 8
        assert engine.podman("wait", services.container("app")) == "0"
        assert "Application shutdown complete." in services.log("app")

    if combination.database == "postgresql":
        check_profiles(engine, project)


def check_profiles(engine: Engine, project: Project) -> None:
    """PgBouncer and the administration page start, and the service uses PgBouncer."""
    text = (project.path / "compose.yaml").read_text(encoding="utf-8")
    with (project.path / ".env").open("a", encoding="utf-8") as settings:
        # As the comment says.
        lines = re.findall(r"^  # ((?:COMPOSE|DATABASE)_\w+=.*)$", text, re.MULTILINE)
        assert len(lines) == 3
        settings.write("".join(f"{line}\n" for line in lines))

    with stack(engine, project.path, "pgbouncer", "admin") as services:
        services.up("app")
        services.up("adminer")

        assert services.started == ["database", "migrate", "pgbouncer", "app", "adminer"]
        json.loads(services.page("app", 8000, "/songs", SONG))
        assert "app/app" in services.log("pgbouncer")  # the database and its user
        services.wait_for_port("adminer", 8080)
        assert b"Adminer" in services.page("adminer", 8080)


@pytest.mark.parametrize("combination", SERVICES, ids=str)
def test_compose_refuses_to_start_without_secrets(
    combination: Combination, engine: Engine, make_project: Callable[..., Project], tmp_path: Path
) -> None:
    """No secret has a default, and the message says what to do."""
    project = make_project(tmp_path / "service", combination)

    refused = Stack(engine, project.path).configuration(check=False)

    if combination.database == "sqlite":
        assert refused.exit_code == 0
    else:
        assert refused.exit_code != 0
        assert "the first lines of compose.yaml" in refused.output
