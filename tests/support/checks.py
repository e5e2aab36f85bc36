"""What a project is checked with, whether it is new or updated."""

import ast
from pathlib import Path

from support.coverage import Coverage, measure
from support.databases import DatabaseServer
from support.projects import Project
from support.results import stage

LEAST_COVERAGE = 95.0
"""Percent of the lines and branches of app/."""


def run_static_checks(project: Project) -> None:
    """Run the formatter, the linter and the type checker; all must be content."""
    with stage("formatter"):
        project.uv_run("ruff", "format", "--check")
    with stage("linter"):
        project.uv_run("ruff", "check")
    with stage("type checker"):
        project.uv_run("mypy")


def run_tests(project: Project) -> int:
    """Run the project's tests, all of which must pass, and return their number."""
    with stage("tests"):
        passed = project.tests()
        assert passed >= functions(project.path / "tests")
    return passed


def run_tests_under_coverage(project: Project, data: Path) -> Coverage:
    """Run the project's tests, all of which must pass, and almost all of app/."""
    with stage("tests"):
        coverage = measure(project, data)
        assert coverage.tests >= functions(project.path / "tests")
    with stage("coverage"):
        missing = "\n".join(coverage.missing)
        assert coverage.percent >= LEAST_COVERAGE, f"{coverage.percent:.1f}%; not run:\n{missing}"
    return coverage


def migrate(project: Project, server: DatabaseServer) -> None:
    """Migrate an empty database and compare it with the models."""
    with stage("migrations"):
        env = {"DATABASE_URL": server.create()}
        project.uv_run(project.slug, "db", "upgrade", env=env)
        current = project.uv_run(project.slug, "db", "current", env=env).stdout
        assert ("(head)" in current) == any(project.path.glob("migrations/versions/*.py"))
        project.uv_run(project.slug, "db", "check", env=env)


def leave_nothing_to_do(project: Project) -> None:
    """Run formatter and fixer over a project in git; nothing may change or be left behind."""
    with stage("born formatted"):
        project.uv_run("ruff", "format")
        project.uv_run("ruff", "check", "--fix")
        status = project.git("status", "--porcelain").splitlines()
        left = [line for line in status if not line.startswith("A  ")]
        assert left == ["?? tests/proofs/", "?? uv.lock"]


def functions(folder: Path) -> int:
    """Count the test functions below a folder: the least number of tests that must run."""
    return sum(map(functions_in, folder.rglob("test_*.py")))


def functions_in(file: Path) -> int:
    """Count the test functions of a file."""
    return sum(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    )
