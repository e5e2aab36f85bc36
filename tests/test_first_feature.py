"""The first feature, written as the manual of a rendered project says."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path
from textwrap import dedent

import pytest

from support import programs
from support.development import Development
from support.projects import MANUAL, Project
from support.questions import Combination, behavioural_product
from support.services import Service

BLOCK = re.compile(r"^ *```(python|sh|diff)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"`([\w/]+\.py)`")
PASSWORD = "correct horse battery staple"  # noqa: S105
ADMIN, USER = "ada@example.com", "grace@example.com"
NOTE = {"text": "hello"}


@dataclass
class Step:
    """A numbered step: what it tells to write, to change, and to run."""

    title: str
    files: dict[str, str] = field(default_factory=dict)
    diffs: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)


def steps(readme: str) -> Iterator[Step]:
    """Yield the steps of the section about the first feature."""
    section = readme.partition("## Your first feature\n")[2].partition("\n## ")[0]
    for text in re.split(r"^\d\. ", section, flags=re.MULTILINE)[1:]:
        step = Step(re.findall(r"\*\*(\w+)\.\*\*", text)[0])
        for block in BLOCK.finditer(text):
            code = dedent(block[2])
            *others, path = PATH.findall(text[: block.start()]) or [""]
            if block[1] == "python":
                step.files |= dict.fromkeys(others, "") | {path: code}
            elif block[1] == "diff":
                step.diffs[path] = code
            else:
                step.commands += code.splitlines()
        yield step


def changed(text: str, diff: str) -> str:
    """Apply a diff without line numbers, whose parts are separated by empty lines."""
    assert len(re.findall(r"^\+", diff, re.MULTILINE)) == 3  # so says the manual
    for part in diff.strip("\n").split("\n\n"):
        lines = [(line[0], f"{line[1:]}\n") for line in part.splitlines()]
        old = "".join(line for sign, line in lines if sign != "+")
        assert text.count(old) == 1, old
        text = text.replace(old, "".join(line for sign, line in lines if sign != "-"))
    return text


def follow(project: Project) -> list[Step]:
    """Write and run what the steps say, and return them."""
    found = list(steps((project.path / MANUAL).read_text(encoding="utf-8")))
    for step in found:
        for name, code in step.files.items():
            file = project.path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(code, encoding="utf-8")
        for name, diff in step.diffs.items():
            file = project.path / name
            file.write_text(changed(file.read_text(encoding="utf-8"), diff), encoding="utf-8")
        for command in step.commands:
            project.run(*shlex.split(command))
    return found


def create_admin(project: Project) -> None:
    """Create an admin by the command that the manual names."""
    command = f"{programs.uv()} run --quiet {project.slug} users create-admin {ADMIN}"
    project.run("sh", "-c", f"echo '{PASSWORD}' | {command}")


def register(project: Project, service: Service) -> None:
    """Register a user, as a front end would, with the mail that `dev` writes to a file."""
    assert service.request("POST", "/auth/register", {"email": USER}).status == 202
    folder = project.path / ".dev" / "mails"
    Development(project).wait_until(lambda: any(folder.glob("*.eml")))
    (file,) = folder.glob("*.eml")
    body = message_from_bytes(file.read_bytes(), policy=policy.default).get_body(("plain",))
    assert body
    (token,) = re.findall(r"/register#token=(\S+)", body.get_content())
    data = {"token": token, "password": PASSWORD, "name": "Grace"}
    assert service.request("POST", "/users", data).status == 201


def log_in(service: Service, email: str) -> dict[str, str]:
    """Log in, and return the header with the access token."""
    tokens = service.request("POST", "/auth/login", {"email": email, "password": PASSWORD}).json()
    return {"Authorization": f"Bearer {tokens['access_token']}"}


@pytest.mark.needs_server
@pytest.mark.parametrize("combination", behavioural_product(), ids=str)
def test_first_feature_works_as_written(
    combination: Combination, make_project: Callable[..., Project], tmp_path: Path
) -> None:
    """The steps lead to a route that serves, and to a project whose checks pass."""
    project = make_project(tmp_path / "service", combination)
    project.sync()
    development = Development(project)
    before = project.tests()
    with_users = combination.answers["auth"] == "jwt"
    access = ["Access"] if with_users else []

    with development.running() as service:
        found = follow(project)
        assert [step.title for step in found] == [
            *("Model", "Migration", "Schema", "Route"),
            *access,
            "Test",
        ]
        admin: dict[str, str] = {}
        if with_users:
            development.wait_until(lambda: service.get("/notes").status == 401)
            create_admin(project)
            register(project, service)
            admin, user = log_in(service, ADMIN), log_in(service, USER)
            assert service.get("/notes", user).status == 200
            assert service.request("POST", "/notes", NOTE).status == 401
            assert service.request("POST", "/notes", NOTE, user).status == 403
        development.wait_until(lambda: service.get("/notes", admin).status == 200)
        assert service.request("POST", "/notes", NOTE, admin).status == 201
        assert [note["text"] for note in json.loads(service.get("/notes", admin).body)] == ["hello"]

    assert project.tests() == before + 2
    for check in ("ruff check", "ruff format --check", "mypy"):
        project.uv_run(*check.split())
