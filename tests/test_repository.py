"""What the repository says about itself."""

import re
import tomllib

from support.questions import ROOT, read_questions

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def test_the_changelog_has_the_version() -> None:
    """The release workflow takes its notes from there, and fails without them."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\] - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)

    assert headings[0] == VERSION


def test_the_readme_explains_every_question_and_choice() -> None:
    """The table names each question with what can be answered."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    for name, question in read_questions().items():
        if question.computed:
            continue
        (row,) = re.findall(rf"^\| .*`{name}`.*$", readme, re.MULTILINE)
        if name != "python_version":  # whose choices are a range
            for answer in question.answers:
                assert {"True": "yes", "False": "no"}.get(str(answer), str(answer)) in row
