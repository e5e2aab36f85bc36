"""Dockerfiles, compose files and development containers are valid and sound."""

import json
import shutil
from itertools import product
from pathlib import Path

import pytest

from support import programs
from support.compose_files import BIN, MAKE_SECRETS, findings
from support.projects import DEPLOYMENT_MANUAL
from support.questions import Combination, behavioural_product
from support.rendering import Renders
from support.root import Answer

CHOICES = [
    Combination(each.behaviour, {"license": license_, "container": True})
    for each, license_ in product(behavioural_product(), ("MIT", "proprietary"))
    if each.answers["example"]
]

POSTGRESQL: dict[str, Answer] = {"database": "postgresql", "auth": "jwt", "container": True}


@pytest.mark.parametrize("combination", CHOICES, ids=Combination.full_name)
def test_files_are_sound(combination: Combination, render: Renders) -> None:
    """For every database, with and without users."""
    assert findings(render(combination.answers)) == []


FAULTS = {
    "unknown service": ("compose.yaml", "      migrate:\n", "      migration:\n"),
    "health that nobody checks": ("compose.yaml", "    healthcheck:\n", "    x-healthcheck:\n"),
    "volume that is not declared": ("compose.yaml", "database:/var", "data:/var"),
    "volume that nothing uses": (
        "compose.yaml",
        "volumes:\n  database:",
        "volumes:\n  old:\n  database:",
    ),
    "no interval": ("compose.yaml", "      interval: 2s\n", ""),
    "unit of the interval": ("compose.yaml", "interval: 2s", "interval: 2"),
    "default password": (
        "compose.yaml",
        "{DATABASE_PASSWORD:?Make",
        "{DATABASE_PASSWORD:-Make",
    ),
    "default secret": (
        "compose.yaml",
        "{TOKEN_SECRET:?Make",
        "{TOKEN_SECRET:-Make",
    ),
    "unescaped dollar": ("compose.yaml", "--username=app]", "--username=$USER]"),
    "public port": ("compose.yaml", "127.0.0.1:8000:8000", "8000:8000"),
    "image without a version": ("compose.yaml", "postgres:18", "postgres"),
    "service before the migrations": (
        "compose.yaml",
        "service_completed_successfully",
        "service_started",
    ),
    "writable file system": ("compose.yaml", "60s\n    read_only: true\n", "60s\n"),
    "migrations with rights": ("compose.yaml", "    cap_drop: [ALL]\n", ""),
    "image that cannot be built": ("compose.yaml", "  app:\n    build: .\n", "  app:\n"),
    "health of migrations": ("compose.yaml", "    healthcheck:\n      disable: true\n", ""),
    "health of the database": ("Dockerfile", "'/health/live'", "'/health/ready'"),
    "short grace period": ("compose.yaml", "stop_grace_period: 60s", "stop_grace_period: 10s"),
    "no .env": ("compose.yaml", "    env_file: .env\n", ""),
    "misspelled key": ("compose.yaml", "cap_drop:", "cap_dropped:"),
    "root": ("Dockerfile", "USER 10001:10001\n", ""),
    "shell": ("Dockerfile", 'CMD ["my-service", "serve"]', "CMD my-service serve"),
    "no health check": ("Dockerfile", "HEALTHCHECK", "# HEALTHCHECK"),
    "code below the packages": ("Dockerfile", "COPY . .\n", "COPY . .\nRUN true\n"),
    "base without a version": ("Dockerfile", "FROM python:3.11-slim\n", "FROM python\n"),
    "packages that are not locked": ("Dockerfile", "uv sync --locked", "uv sync"),
    "unknown instruction": ("Dockerfile", "EXPOSE", "EXPOSED"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found(fault: str, render: Renders, tmp_path: Path) -> None:
    """One at a time."""
    name, old, new = FAULTS[fault]
    project = tmp_path / "service"
    shutil.copytree(render(POSTGRESQL), project)
    text = (project / name).read_text(encoding="utf-8")
    assert old in text
    (project / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    assert findings(project) != []


@pytest.mark.parametrize("combination", CHOICES[::2], ids=Combination.full_name)
def test_development_container_has_its_database(
    combination: Combination, render: Renders, tmp_path: Path
) -> None:
    """It makes the same secrets as the command in the compose file, once."""
    project = tmp_path / "service"
    shutil.copytree(render(combination.answers), project)
    folder = project / ".devcontainer"
    container = json.loads((folder / "devcontainer.json").read_text(encoding="utf-8"))
    # The folder of the project is that of the host, whose environment is for another system.
    environment = Path(container["remoteEnv"]["UV_PROJECT_ENVIRONMENT"])
    assert not environment.is_relative_to(container.get("workspaceFolder", "/workspaces"))
    if combination.database == "sqlite":
        assert container["image"].startswith("mcr.microsoft.com/devcontainers/python:")
        return

    shutil.copy(project / ".env.example", project / ".env")
    for _ in range(2):
        programs.run("sh", "-c", container["initializeCommand"], cwd=project)
    lines = (project / ".env").read_text(encoding="utf-8").splitlines(keepends=True)
    secrets = "".join(lines[len((project / ".env.example").read_bytes().splitlines()) :])
    assert (project / ".env").stat().st_mode & 0o777 == 0o600
    (command,) = MAKE_SECRETS.findall((project / "compose.yaml").read_text(encoding="utf-8"))
    (project / ".env").unlink()
    programs.run("sh", "-c", command, cwd=project)
    again = (project / ".env").read_text(encoding="utf-8")
    assert (project / ".env").stat().st_mode & 0o777 == 0o600
    assert names(secrets) == names(again)
    assert f"\n{command} " in (project / DEPLOYMENT_MANUAL).read_text(encoding="utf-8")
    assert secrets != again

    files = [f"--file={folder / name}" for name in container["dockerComposeFile"]]
    merged = programs.run(str(BIN / "podman-compose"), *files, "config", cwd=project)
    assert f"  {container['service']}:\n" in merged.stdout
    assert [f"  {name}:\n" in merged.stdout for name in container["runServices"]] == [True]
    assert container["workspaceFolder"] in merged.stdout


def names(secrets: str) -> list[str]:
    """Return the names of the variables in an .env."""
    return [line.partition("=")[0] for line in secrets.splitlines()]
