"""Checks for projects, both new and updated."""

import ast
from pathlib import Path

from support.coverage import Coverage, measure
from support.databases import DatabaseServer
from support.projects import Project
from support.results import stage

LEAST_COVERAGE = 95.0
"""Minimum line and branch coverage of app/, in percent."""


def run_static_checks(project: Project) -> None:
    """Run the formatter, the linter and the type checker; all must succeed."""
    with stage("formatter"):
        project.uv_run("ruff", "format", "--check")
    with stage("linter"):
        project.uv_run("ruff", "check")
    with stage("type checker"):
        project.uv_run("mypy")


def run_tests(project: Project) -> int:
    """Run the project's tests, all of which must pass; return their number."""
    with stage("tests"):
        passed = project.tests()
        assert passed >= functions(project.path / "tests")
    return passed


def run_tests_under_coverage(project: Project, data: Path) -> Coverage:
    """Run the project's tests, which must all pass and cover almost all of app/."""
    with stage("tests"):
        coverage = measure(project, data)
        assert coverage.tests >= functions(project.path / "tests")
    with stage("coverage"):
        missing = "\n".join(coverage.missing)
        assert coverage.percent >= LEAST_COVERAGE, f"{coverage.percent:.1f}%; not run:\n{missing}"
    return coverage


def migrate(project: Project, server: DatabaseServer) -> None:
    """Migrate an empty database, and compare it with the models."""
    with stage("migrations"):
        env = {"DATABASE_URL": server.create()}
        project.uv_run(project.slug, "db", "upgrade", env=env)
        current = project.uv_run(project.slug, "db", "current", env=env).stdout
        assert ("(head)" in current) == any(project.path.glob("migrations/versions/*.py"))
        project.uv_run(project.slug, "db", "check", env=env)


def leave_nothing_to_do(project: Project) -> None:
    """Run the formatter and the fixer on a committed project; both must change nothing."""
    with stage("born formatted"):
        project.uv_run("ruff", "format")
        project.uv_run("ruff", "check", "--fix")
        status = project.git("status", "--porcelain").splitlines()
        left = [line for line in status if not line.startswith("A  ")]
        assert left == ["?? tests/proofs/", "?? uv.lock"]


def functions(folder: Path) -> int:
    """Count the test functions in a folder: the minimum number of tests that must run."""
    return sum(map(functions_in, folder.rglob("test_*.py")))


def functions_in(file: Path) -> int:
    """Count the test functions in a file."""
    return sum(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    )
