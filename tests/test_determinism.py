"""The same answers give the same bytes for every user, on every machine, at any time."""

import os
import stat
import sys
from pathlib import Path

import pytest
import yaml

from support import programs
from support.personas import begin
from support.questions import Combination, behavioural_product
from support.releases import History
from support.rendering import Template, files_in, git
from support.root import Answer

TEXTS: dict[str, Answer] = {
    "project_name": "Größe & Wert",
    "project_slug": "groesse",
    "description": "Übersicht",
    "author_name": "Zoë",
    "author_email": "zoe@example.com",
}

combinations = pytest.mark.parametrize("combination", behavioural_product(), ids=str)


def contents(project: Path) -> dict[str, tuple[bytes, bool]]:
    """Return the contents of each file, and whether it is executable."""
    return {
        path.relative_to(project).as_posix(): (
            path.read_bytes(),
            bool(path.stat().st_mode & stat.S_IXUSR),
        )
        for path in files_in(project)
    }


@combinations
def test_render_is_independent_of_environment(
    combination: Combination, template: Template, tmp_path: Path
) -> None:
    """Home, working directory, locale, time zone, umask, hash seed and settings have no effect."""
    answers = {**TEXTS, **combination.answers}
    here = template.render(tmp_path / "here", answers)
    home = tmp_path / "home"
    home.mkdir()
    data, own = home / "answers.yml", home / "settings.yml"
    data.write_text(yaml.safe_dump(answers), encoding="utf-8")
    own.write_text("defaults:\n  project_name: Leaked\n  database: mysql\n", encoding="utf-8")
    (home / ".gitconfig").write_text("[core]\n\tautocrlf = true\n", encoding="utf-8")
    programs.run(
        *("sh", "-c", 'umask 077 && exec "$0" "$@"', sys.executable, "-m", "copier"),
        *("copy", "--defaults", f"--data-file={data}", f"--vcs-ref={template.tag}"),
        *(str(template.path), "there"),
        cwd=home,
        env=programs.environment(
            HOME=str(home),
            GIT_CONFIG_GLOBAL=os.devnull,
            LC_ALL="C",
            TZ="Pacific/Kiritimati",
            PYTHONHASHSEED="1",
            COPIER_SETTINGS_PATH=str(own),
        ),
    )

    assert contents(home / "there") == contents(here)


@combinations
def test_recopy_and_update_change_nothing(
    combination: Combination, history: History, tmp_path: Path
) -> None:
    """`copier recopy`, and an update to the same version, change nothing."""
    project = history.current.render(tmp_path / "service", {**TEXTS, **combination.answers})
    begin(project)

    for again in (history.recopy, history.update):
        again(project)
        assert git(project, "status", "--porcelain") == ""
