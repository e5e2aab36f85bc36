"""Checks Dockerfiles and compose files: by a schema, a linter, and rules of our own."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from support import programs

BIN = Path(sys.prefix, "bin")

MAKE_SECRETS = re.compile(r"^#   (printf .*)$", re.MULTILINE)
"""The command in a comment of the compose file."""

SECRET = re.compile("PASSWORD|SECRET|TOKEN")
REQUIRED = re.compile(r"\$\{\w+:\?[^}]+\}|\$\{\w+\}")
"""A variable without a default."""
UNESCAPED = re.compile(r"\$(?![{$])")
LONGEST_SHUTDOWN = 45
"""Seconds, by default: DRAIN_TIMEOUT, SHUTDOWN_TIMEOUT, and 10 for sending telemetry."""


def findings(project: Path) -> list[str]:
    """Return what is wrong in the files of a project's containers."""
    return [
        *_by_schema(project / "compose.yaml"),
        *_by_hadolint(project / "Dockerfile"),
        *_of_dockerfile((project / "Dockerfile").read_text(encoding="utf-8")),
        *_of_compose(yaml.safe_load((project / "compose.yaml").read_text(encoding="utf-8"))),
    ]


def _by_schema(file: Path) -> Iterator[str]:
    command = [str(BIN / "check-jsonschema"), "--output-format=json"]
    command += ["--builtin-schema=vendor.compose-spec", str(file)]
    done = programs.run(*command, cwd=file.parent, check=False)
    report = json.loads(done.stdout)
    for error in (*report.get("errors", []), *report.get("parse_errors", [])):
        yield f"schema: {error.get('path')}: {error.get('message', error)}"


def _by_hadolint(file: Path) -> Iterator[str]:
    command = [str(BIN / "hadolint"), "--format=json", str(file)]
    done = programs.run(*command, cwd=file.parent, check=False)
    for finding in json.loads(done.stdout):
        yield f"hadolint: {finding['code']}: {finding['message']}"


def _of_dockerfile(text: str) -> Iterator[str]:
    stage = text.rpartition("\nFROM ")[2]
    instructions = [line.split()[0] for line in stage.splitlines() if re.match("[A-Z]", line)]
    if not re.search("^USER 10001:10001$", stage, re.MULTILINE):
        yield "The user of the image is root, or unknown to Kubernetes."
    if not re.search(r'^CMD \["', stage, re.MULTILINE):
        yield "The shell of the command does not pass SIGTERM on."
    if "HEALTHCHECK" not in instructions:
        yield "Nobody notices that the service does not answer."
    if "'/health/live'" not in stage:
        yield "The service is restarted when the database is unreachable."
    layers = [name for name in instructions if name in ("COPY", "ADD", "RUN")]
    if layers[-1:] != ["COPY"] or "COPY . ." not in stage:
        yield "The code is not in the last layer."
    for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
        if ":" not in image or image.endswith(":latest"):
            yield f"{image} has no version."
    if "uv sync" in text and "uv sync --locked" not in text:
        yield "The packages are not those in uv.lock."


def _of_compose(compose: dict[str, Any]) -> Iterator[str]:
    services: dict[str, dict[str, Any]] = compose["services"]
    volumes = set(compose.get("volumes") or ())
    used = {
        volume.partition(":")[0] for each in services.values() for volume in each.get("volumes", [])
    }
    yield from (f"The volume {name} is not declared." for name in used - volumes)
    yield from (f"Nothing uses the volume {name}." for name in volumes - used)
    built = {service["image"] for service in services.values() if "build" in service}
    for name, service in services.items():
        yield from (f"{name} {fault}" for fault in _of_dependencies(service, services))
        yield from (f"{name} {fault}" for fault in _of_service(service))
        if service["image"] not in built and ":" not in service["image"]:
            yield f"The image of {name} has no version."
    for name in ("migrate", "app"):
        if "env_file" not in services[name]:
            yield f"Settings in .env do not reach {name}."
    yield from _of_app(services)


def _of_dependencies(service: dict[str, Any], services: dict[str, dict[str, Any]]) -> Iterator[str]:
    for other, condition in service.get("depends_on", {}).items():
        if other not in services:
            yield "waits for an unknown service."
        elif condition["condition"] == "service_healthy" and "healthcheck" not in services[other]:
            yield f"waits for the health of {other}, which nobody checks."


def _of_service(service: dict[str, Any]) -> Iterator[str]:
    for variable, value in (service.get("environment") or {}).items():
        random = variable == "MARIADB_RANDOM_ROOT_PASSWORD"
        if SECRET.search(variable) and not random and not REQUIRED.fullmatch(str(value)):
            yield f"has a default for {variable}."
    check = service.get("healthcheck")
    if check and check != {"disable": True} and not {"test", "interval", "retries"} <= check.keys():
        yield "has an incomplete health check."
    if not all(str(port).startswith("127.0.0.1:") for port in service.get("ports", [])):
        yield "can be reached from everywhere."
    if UNESCAPED.search(json.dumps(service)):
        yield "has a $ that compose replaces."


def _of_app(services: dict[str, dict[str, Any]]) -> Iterator[str]:
    app = services["app"]
    if app.get("depends_on", {}).get("migrate") != {"condition": "service_completed_successfully"}:
        yield "The service does not wait for the migrations."
    if services["migrate"].get("restart", "no") != "no":
        yield "The migrations never end."
    if services["migrate"].get("healthcheck") != {"disable": True}:
        yield "The migrations are unhealthy, because they do not answer requests."
    for name in ("migrate", "app"):
        service = services[name]
        if "build" not in service:
            yield f"{name} cannot be built."
        secure = service.get("read_only") and service.get("security_opt")
        if not secure or service.get("cap_drop") != ["ALL"]:
            yield f"{name} has more rights than it needs."
    seconds = re.fullmatch(r"(\d+)s", app.get("stop_grace_period", ""))
    if not seconds or int(seconds[1]) <= LONGEST_SHUTDOWN:
        yield "The service is killed before it has answered all requests."
