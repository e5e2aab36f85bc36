"""The servers that the tests of MySQL services start."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.databases import serve
from support.projects import Project
from support.questions import Combination, first_of

MYSQL = first_of("mysql")


@pytest.mark.parametrize("combination", [MYSQL], ids=str)
def test_a_server_leaves_the_temporary_tables_of_another_alone(
    combination: Combination, kept_projects: Callable[[Combination], Project]
) -> None:
    """When it starts, MariaDB deletes those that it finds, as if a crash had left them behind."""
    # A short path, because there is a socket below it.
    with TemporaryDirectory() as folder:
        table = Path(folder, "#sql-temptable-1-1-1.MAI")
        table.touch()
        with serve(kept_projects(combination).with_settings(TMPDIR=folder)):
            pass
        assert table.exists()
