"""What a project is checked with, whether it is new or updated."""

from support.databases import serve
from support.projects import Project
from support.results import Record


def run_static_checks(project: Project, record: Record) -> None:
    """Run the formatter, the linter and the type checker; all must be content."""
    with record.stage("formatter"):
        project.uv_run("ruff", "format", "--check")
    with record.stage("linter"):
        project.uv_run("ruff", "check")
    with record.stage("type checker"):
        project.uv_run("mypy")


def run_tests_and_migrate(project: Project, record: Record) -> None:
    """Run the generated tests, then migrate an empty database and compare it with the models."""
    with record.stage("generated tests"):
        record.tests(project.tests())
    with record.stage("migrations"), serve(project) as server:
        env = {"DATABASE_URL": server.create()}
        project.uv_run(project.slug, "db", "upgrade", env=env)
        project.uv_run(project.slug, "db", "check", env=env)
