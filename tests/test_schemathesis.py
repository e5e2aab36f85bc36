"""Services of every combination answer made-up requests as their OpenAPI document says."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import programs, results
from support.databases import DatabaseServer
from support.projects import Project
from support.questions import Combination, behavioural_product
from support.services import Service, running

SUPPORT = Path(__file__).with_name("support")
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "refusals_are_described",
)

PASSWORD = "nine green bottles"  # noqa: S105
ADMINS = 200


@pytest.mark.needs_server
@pytest.mark.parametrize("combination", behavioural_product(), ids=str)
def test_responses_are_as_described(
    combination: Combination,
    kept_projects: Callable[[Combination], Project],
    servers: Callable[[Combination], DatabaseServer],
    tmp_path: Path,
    say: results.Say,
) -> None:
    """No request leads to an undescribed response, and each operation succeeds for some."""
    project = kept_projects(combination)
    env = {
        "DATABASE_URL": servers(combination).create(),
        "MAIL_FOLDER": str(tmp_path / "mails"),
        "TOKEN_SECRET": "s" * 48,
    }
    project.uv_run(project.slug, "db", "upgrade", env=env)
    admins = "[]"
    if combination.behaviour["auth"] == "jwt":
        script = SUPPORT / "make_admins.py"
        admins = project.uv_run("python", str(script), str(ADMINS), PASSWORD, env=env).stdout
    (tmp_path / "admins.json").write_text(admins, encoding="utf-8")

    with running(project, env) as service:
        answered = send_requests(service, tmp_path)
        service.terminate()
        # For example of a task after the response.
        assert [entry for entry in service.log() if entry["level"] in {"error", "critical"}] == []

    never = {label for label, statuses in answered.items() if not {200, 201, 202, 204} & statuses}
    assert never == set()
    say(f"{combination}: {len(answered)} operations answer as OpenAPI describes them")


def send_requests(service: Service, folder: Path) -> dict[str, set[int]]:
    """Send the same requests each time; return the statuses of each operation."""
    statuses = folder / "statuses.json"
    programs.run(
        *(str(SCHEMATHESIS), "--no-color"),
        *("run", f"http://127.0.0.1:{service.port}/openapi.json"),
        *("--phases", "coverage,fuzzing", "--max-examples", "5", "--continue-on-failure"),
        *("--generation-deterministic", "--no-shrink"),
        *("--checks", ",".join(CHECKS), "--warnings", "off"),
        cwd=folder,
        env=programs.environment(
            PYTHONHASHSEED="0",  # the order of sets counts, too
            SCHEMATHESIS_HOOKS=str(SUPPORT / "schemathesis_hooks.py"),
            ADMINS=str(folder / "admins.json"),
            PASSWORD=PASSWORD,
            STATUSES=str(statuses),
        ),
    )
    found = json.loads(statuses.read_text(encoding="utf-8"))
    return {label: set(answers) for label, answers in found.items()}
