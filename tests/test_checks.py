"""Each stage of the check for combinations detects the faults it exists for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support import checks, proofs
from support.databases import DatabaseServer
from support.projects import Project
from support.questions import Combination, first_of

SQLITE = first_of("sqlite")


def static(project: Project, _: Path, __: DatabaseServer) -> None:
    """Run the static checks."""
    checks.run_static_checks(project)


def run_tests(project: Project, folder: Path, _: DatabaseServer) -> None:
    """Run the tests."""
    checks.run_tests_under_coverage(project, folder / "coverage")


def migrate(project: Project, _: Path, server: DatabaseServer) -> None:
    """Run the migrations."""
    checks.migrate(project, server)


def tidy(project: Project, _: Path, __: DatabaseServer) -> None:
    """Run the formatter."""
    checks.leave_nothing_to_do(project)


ONE_FOLDER = ("pyproject.toml", '["tests"]', '["tests/songs"]')
IDLE = "def idle(x: int) -> int:\n" + "    x += 1\n" * 200 + "    return x\n\n\nclass Health"
REVISION = "migrations/versions/2026_11_21_8c3d2f5b9a41_create_songs.py"

FAULTS = {
    "an unformatted line": ("formatter", static, ("app/core/limits.py", "= 0", "=0")),
    "code in a comment": ("linter", static, ("app/core/limits.py", "= 0", "= 0\n        # x = 1")),
    "a wrong type": (
        "type checker",
        static,
        ("app/core/limits.py", "received = 0", 'received = "0"'),
    ),
    "a test that fails": (
        "tests",
        run_tests,
        ("app/songs/service.py", "exclude_unset=True", "exclude_unset=False"),
    ),
    "tests that are not collected": ("tests", run_tests, ONE_FOLDER),
    "a test that is skipped": (
        "tests",
        run_tests,
        (
            "tests/songs/test_router.py",
            "async def test_create(",
            "@pytest.mark.skip\nasync def test_create(",
        ),
    ),
    "code that no test runs": (
        "coverage",
        run_tests,
        (
            "app/core/health.py",
            "class Health",
            IDLE,
        ),
    ),
    "a migration that does not run": (
        "migrations",
        migrate,
        (REVISION, "def upgrade() -> None:", "def upgrade() -> None:\n    op.drop_table('x')"),
    ),
    "a model without a migration": (
        "migrations",
        migrate,
        ("app/songs/models.py", "(200)", "(300)"),
    ),
    "no revision is found": ("migrations", migrate, (REVISION, 'revision = "', 'version = "')),
    "a file that is left behind": ("born formatted", tidy, (".gitignore", "__pycache__/", "")),
}
"""For each fault: the stage that must fail, its function, and the change (file, old, new)."""


@pytest.fixture
def project(make_project: Callable[..., Project], tmp_path: Path) -> Project:
    """A project like those in the check for combinations."""
    project = make_project(tmp_path / "service", SQLITE)
    project.git("init", "--quiet")
    project.git("add", "--all")
    proofs.drop(project.path, SQLITE.answers)
    project.sync()
    return project


@pytest.mark.parametrize("fault", FAULTS)
def test_stage_detects_fault(
    fault: str, project: Project, tmp_path: Path, servers: Callable[[Combination], DatabaseServer]
) -> None:
    """The failure names the stage that detected the fault."""
    stage, run, (file, old, new) = FAULTS[fault]
    text = (project.path / file).read_text(encoding="utf-8")
    assert old in text
    (project.path / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    with pytest.raises(AssertionError) as failure:
        run(project, tmp_path, servers(SQLITE))

    assert failure.value.__notes__ == [f"Failed stage: {stage}."]
