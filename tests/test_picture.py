"""The page that --picture writes: what is in it, and that it needs nothing else."""

import json
import re
import sys
from collections.abc import Sequence
from difflib import unified_diff
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from support import picture, programs, results
from support.picture import Render
from support.programs import Finished
from support.questions import ROOT, Answer, Combination, behavioural_product, first_of
from support.rendering import Template, version_tag
from support.results import Row

ABOUT = {"version": "v1.2.3", "commit": "abc1234", "made": "2000-01-01 00:00 UTC"}

HOSTILE = (
    "</script><script>alert(1)</script>\n"
    "<!-- <script> --> ]]> &amp; &lt; @data@\n"
    "'single' \"double\" \\ \\u003c `${x}`\n"
    "U+2028 \u2028 U+2029 \u2029 NUL \x00 CR LF\r\nCR\rFF \x0c BOM \ufeff\n"
    "\N{GRINNING FACE} \N{FAMILY} e\N{COMBINING ACUTE ACCENT}\n"
    "no line feed"
)


class Elements(HTMLParser):
    """Collects what a browser would make of the page."""

    def __init__(self, text: str) -> None:
        """Read the page."""
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""
        self._in_data = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the element, and notice where the data begin."""
        self.found.append((tag, dict(attrs)))
        self._in_data = (tag, "data") == (tag, dict(attrs).get("id"))

    def handle_endtag(self, tag: str) -> None:
        """Notice where the data end."""
        self._in_data = self._in_data and tag != "script"

    def handle_data(self, data: str) -> None:
        """Keep the data."""
        if self._in_data:
            self.data += data


def combination(database: str, **others: Answer) -> Combination:
    """Return made-up answers."""
    return Combination({"database": database, **others})


def embedded(page: str) -> dict[str, Any]:
    """Return the data as the page's own script would read them."""
    data: dict[str, Any] = json.loads(Elements(page).data)
    return data


def described(*renders: Render, rows: Sequence[Row] = ()) -> dict[str, Any]:
    """Return what a page made of these has in it."""
    return embedded(picture.page(picture.describe(renders, {row.name: row for row in rows}, ABOUT)))


def test_hostile_texts_arrive_exactly() -> None:
    """Nothing in a file can end the data early or become part of the page."""
    paths = ["</script>.txt", '"><img src=x onerror=alert(1)>.py', "__proto__", "1"]
    render = Render(combination(HOSTILE), dict.fromkeys(paths, HOSTILE), fault=HOSTILE)
    page = picture.page(picture.describe([render], {HOSTILE: Row(HOSTILE)}, ABOUT))

    data = embedded(page)
    assert data == json.loads(
        json.dumps(picture.describe([render], {HOSTILE: Row(HOSTILE)}, ABOUT))
    )
    assert {file["path"]: file["variants"] for file in data["files"]} == {
        path: [HOSTILE] for path in paths
    }
    assert data["columns"] == [HOSTILE]
    assert data["combinations"][0]["fault"] == HOSTILE

    harmless = picture.page(picture.describe([Render(combination("sqlite"))], {}, ABOUT))
    assert Elements(page).found == Elements(harmless).found


def test_files_are_read_as_they_are(tmp_path: Path) -> None:
    """Line endings are not made the same, and what is not a text is told apart by its hash."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "endings").write_bytes(b"a\r\nb\rc\n")
    (tmp_path / "one").write_bytes(b"\xff\x00")
    (tmp_path / "other").write_bytes(b"\xff\x01")
    texts = picture.read(tmp_path)
    assert texts["folder/endings"] == "a\r\nb\rc\n"
    assert texts["one"].startswith("Not a text: 2 bytes")
    assert texts["one"] != texts["other"]


def test_contents_are_embedded_once() -> None:
    """Combinations with the same content share it; one without the file has none."""
    contents = [{"a": "1\n"}, {"a": "2\n"}, {"a": "1\n"}, {}, {"a": ""}]
    data = described(
        *(Render(combination(f"db{number}"), files) for number, files in enumerate(contents))
    )
    (file,) = data["files"]
    assert file["variants"] == ["1\n", "2\n", ""]
    assert file["of"] == [0, 1, 0, None, 2]
    assert [len(row) for row in file["hunks"]] == [0, 1, 2]


def test_files_are_listed_as_a_tree() -> None:
    """Folders come before files, and everything in a folder stays together."""
    paths = ["z", "a/z", "a-b/c", "a/b/c", "A", "a/b/a"]
    data = described(Render(combination("sqlite"), dict.fromkeys(paths, "")))
    listed = [file["path"] for file in data["files"]]
    assert listed == ["a/b/a", "a/b/c", "a/z", "a-b/c", "A", "z"]


NUMBERS = "".join(f"{number}\n" for number in range(30))

PAIRS = {
    "the middle": (NUMBERS, NUMBERS.replace("15\n", "fifteen\n")),
    "two places": (NUMBERS, NUMBERS.replace("3\n", "").replace("27\n", "27\nmore\n")),
    "everything": ("a\nb\n", "c\n"),
    "from nothing": ("", "a\nb\n"),
    "to nothing": ("a\n", ""),
    "only the last line feed": ("a\nb", "a\nb\n"),
    "separators that are no line feeds": ("a\u2028b\x0cc\rd\n", "a\u2028B\x0cc\rd\n"),
    "hostile": (HOSTILE, HOSTILE.replace("double", "triple")),
}


def exchanged(hunks: Sequence[picture.Hunk]) -> list[picture.Hunk]:
    """Return the way back, as the page's script does it."""
    return [[(equal, *new, *old) for equal, old, new in map(sides, hunk)] for hunk in hunks]


def sides(part: tuple[int, int, int, int, int]) -> tuple[int, tuple[int, int], tuple[int, int]]:
    """Return whether a part is equal, and its range in each text."""
    return part[0], part[1:3], part[3:5]


def printed(hunks: Sequence[picture.Hunk], old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Return the lines of a unified diff, without those that name line numbers."""
    diff = []
    for equal, (begin, end), (new_begin, new_end) in (
        sides(part) for hunk in hunks for part in hunk
    ):
        if equal:
            assert old[begin:end] == new[new_begin:new_end]
            diff += [f" {line}" for line in old[begin:end]]
        else:
            diff += [f"-{line}" for line in old[begin:end]]
            diff += [f"+{line}" for line in new[new_begin:new_end]]
    return diff


def applied(hunks: Sequence[picture.Hunk], old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Take from `new` only what the hunks call different, and all else from `old`."""
    patched: list[str] = []
    position = 0
    for equal, (begin, end), (new_begin, new_end) in (
        sides(part) for hunk in hunks for part in hunk
    ):
        patched += old[position:begin]
        assert len(patched) == new_begin
        patched += old[begin:end] if equal else new[new_begin:new_end]
        position = end
    return [*patched, *old[position:]]


@pytest.mark.parametrize("pair", PAIRS)
def test_differences_lead_from_either_to_the_other(pair: str) -> None:
    """They are those of `difflib.unified_diff`, and the same backwards."""
    texts = PAIRS[pair]
    data = described(
        *(Render(combination(f"db{number}"), {"a": text}) for number, text in enumerate(texts))
    )
    (file,) = data["files"]
    assert file["variants"] == list(texts)
    hunks = file["hunks"][1][0]

    old, new = (picture.lines(text) for text in texts)
    assert "".join(old) == texts[0]
    assert all(line.endswith("\n") for line in old[:-1])
    expected = [
        line for line in list(unified_diff(old, new))[2:] if not re.fullmatch("@@.*@@\n", line)
    ]
    assert printed(hunks, old, new) == expected
    assert applied(hunks, old, new) == new
    assert applied(exchanged(hunks), new, old) == old


def test_lines_that_are_common_are_still_compared() -> None:
    """Of a long file, difflib would otherwise leave such lines out of account."""
    old, new = (f"{first}\n" + "same\n" * 300 for first in ("old", "new"))
    hunks = picture.hunks(old, new)
    changed = [
        line
        for line in printed(hunks, picture.lines(old), picture.lines(new))
        if not line.startswith(" ")
    ]
    assert changed == ["-old\n", "+new\n"]


MATRIX = [
    combination(database, example=example, auth=auth)
    for database in ("sqlite", "mysql")
    for example in (True, False)
    for auth in ("none", "jwt")
]

ROWS = [
    Row("mysql", verdict="skipped"),
    Row("mysql-example-none", 0, 1.25, 1, verdict="FAILED: linter"),
    Row("sqlite-example-jwt, coverage", 9, 9, 9, 87.5),
    Row("sqlite-example-none", 12, 34.5, 30),
    Row("sqlite-example-none, Python 3.13", 12, 20, 10),
    Row("sqlite-example-none, coverage", 12, 22, 11, 98.25),
    Row("sqlite-example-none, mutations", 0, 99, 88, verdict="FAILED"),
    Row("sqlite-example-none-too, updates", 0, 77, 66, verdict="FAILED"),
    Row("sqlite-no_example-none", verdict="skipped"),
]


def test_results_are_in_the_right_cells() -> None:
    """The columns are databases; each row is one of the other answers' combinations."""
    data = described(*map(Render, MATRIX), rows=ROWS)
    assert data["about"] == ABOUT
    assert data["columns"] == ["sqlite", "mysql"]
    cells = {
        (column, *line["answers"].values()): data["combinations"][number]
        for line in data["lines"]
        for column, number in zip(data["columns"], line["cells"], strict=True)
    }
    assert {key: cell["name"] for key, cell in cells.items()} == {
        tuple(answers.behaviour.values()): str(answers) for answers in MATRIX
    }
    assert {key: cell["verdict"] for key, cell in cells.items()} == {
        ("sqlite", True, "none"): "passed",
        ("sqlite", True, "jwt"): "not run",
        ("sqlite", False, "none"): "skipped",
        ("sqlite", False, "jwt"): "not run",
        ("mysql", True, "none"): "FAILED: linter",
        # There was no server, so no test came as far as naming these.
        ("mysql", True, "jwt"): "skipped",
        ("mysql", False, "none"): "skipped",
        ("mysql", False, "jwt"): "skipped",
    }
    assert cells["sqlite", True, "none"] == {
        "name": "sqlite-example-none",
        "fault": "",
        "verdict": "passed",
        "tests": 12,
        "wall": 34.5,
        "coverage": 98.25,
        "also_failed": ["mutations"],
    }
    covered_only = cells["sqlite", True, "jwt"]
    assert (covered_only["coverage"], covered_only["tests"], covered_only["wall"]) == (
        87.5,
        None,
        None,
    )
    assert cells["mysql", True, "none"]["coverage"] is None


def test_all_other_rows_are_listed() -> None:
    """With what the table in the terminal has."""
    others = described(*map(Render, MATRIX), rows=ROWS)["others"]
    assert [other["name"] for other in others] == [
        "mysql",
        "sqlite-example-jwt, coverage",
        "sqlite-example-none, Python 3.13",
        "sqlite-example-none, coverage",
        "sqlite-example-none, mutations",
        "sqlite-example-none-too, updates",
    ]
    assert others[2] == {
        "name": "sqlite-example-none, Python 3.13",
        "tests": 12,
        "wall": 20,
        "cpu": 10,
        "verdict": "passed",
    }


def test_the_table_has_the_coverage() -> None:
    """Where it is known."""
    assert results.table([Row("a, coverage", 12, 3.14, 2.72, 98.25), Row("b")]) == [
        "combination  tests  wall s  CPU s  cover %  verdict",
        "a, coverage     12     3.1    2.7     98.2  passed",
        "b                0     0.0    0.0           passed",
    ]


def test_what_cannot_be_rendered_is_on_the_page_all_the_same(
    template: Template, tmp_path: Path
) -> None:
    """It is then that somebody looks at the page."""
    broken = picture.render(template, combination("sqlite", colour="green"), tmp_path / "service")
    whole = Render(combination("sqlite", colour="red"), {"a": "1\n"})
    data = described(whole, broken)
    assert "copier.yml does not ask for: colour" in data["combinations"][1]["fault"]
    assert data["files"][0]["of"] == [0, None]


def test_the_page_loads_nothing() -> None:
    """It opens from a file, without a network, and a browser is told to keep it so."""
    page = picture.PAGE.read_text(encoding="utf-8")
    elements = Elements(page).found
    loaded = {
        value
        for _, attributes in elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action", "poster")
    }
    assert loaded == {"data:,"}
    assert not re.findall(
        r"https?:|//\w|@import|url\(|\bimport\b|fetch\(|XMLHttpRequest|WebSocket|sendBeacon", page
    )
    (policy,) = (
        attributes["content"] or ""
        for tag, attributes in elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none';")


def test_the_page_is_for_everybody() -> None:
    """What an assistive program needs first is there."""
    elements = Elements(picture.PAGE.read_text(encoding="utf-8")).found
    tags = [tag for tag, _ in elements]
    assert ("html", {"lang": "en"}) in elements
    assert {"title", "main", "caption", "label", "h1", "h2"} <= set(tags)
    assert ("meta", {"charset": "utf-8"}) in elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(set(ids)) == len(ids)


def test_real_renders_are_compared(template: Template, tmp_path: Path) -> None:
    """Two databases differ where the wiring does, and not in where they were rendered."""
    chosen = [first_of(database) for database in ("sqlite", "postgresql")]
    renders = [picture.render(template, answers, tmp_path / str(answers)) for answers in chosen]
    files = {file["path"]: file for file in described(*renders)["files"]}
    assert files["app/main.py"]["of"] == [0, 0]
    assert files["app/engine.py"]["of"] == [0, 1]
    assert files["app/engine.py"]["hunks"][1][0]
    assert "_src_path: prewired\n" in files[".copier-answers.yml"]["variants"][0]
    for answers in chosen:
        number = chosen.index(answers)
        for file in files.values():
            path = tmp_path / str(answers) / file["path"]
            assert path.exists() == (file["of"][number] is not None)


MADE_UP = """
def test_passed(record):
    record.row({name!r})
    record.tests(3)

def test_covered(record):
    record.row({name!r} + ", coverage")
    record.coverage(97.5)

def test_failed(record):
    record.row({other!r})
    with record.stage("linter"):
        raise AssertionError
"""


def test_a_run_writes_the_page(tmp_path: Path) -> None:
    """With several processes, and also when something failed."""
    first, *_, last = behavioural_product()
    tests, path = tmp_path / "test_made_up.py", tmp_path / "matrix.html"
    tests.write_text(MADE_UP.format(name=str(first), other=str(last)), encoding="utf-8")
    # Outside of tests/, its conftest.py has to be named.
    options = ("-p", "conftest", "--numprocesses=2", f"--picture={path}")
    finished = run_pytest(*options, str(tests), base=tmp_path)
    assert finished.exit_code == pytest.ExitCode.TESTS_FAILED, finished.report()
    assert f"The picture of the matrix is in {path}." in finished.stdout.splitlines()
    assert "1 failed, 2 passed" in finished.stdout

    data = embedded(path.read_text(encoding="utf-8"))
    assert data["about"]["version"] == version_tag(ROOT)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", data["about"]["made"])
    combinations = {found.pop("name"): found for found in data["combinations"]}
    assert list(combinations) == [str(answers) for answers in behavioural_product()]
    assert not [found["fault"] for found in combinations.values() if found["fault"]]
    passed, failed = combinations.pop(str(first)), combinations.pop(str(last))
    assert (passed["verdict"], passed["tests"], passed["coverage"]) == ("passed", 3, 97.5)
    assert failed["verdict"] == "FAILED: linter"
    assert {found["verdict"] for found in combinations.values()} == {"not run"}
    assert [other["name"] for other in data["others"]] == [f"{first}, coverage"]


@pytest.mark.parametrize("path", ["missing/matrix.html", "file/matrix.html", "."])
def test_a_page_that_could_not_be_written_is_refused_at_once(path: str, tmp_path: Path) -> None:
    """In one sentence, and not after all tests."""
    (tmp_path / "file").touch()
    target = tmp_path / path
    finished = run_pytest("tests/test_questions.py", f"--picture={target}", base=tmp_path)
    assert finished.exit_code == pytest.ExitCode.USAGE_ERROR
    assert not finished.stdout
    (sentence,) = re.findall(r"error: argument --picture: (.*)", finished.stderr)
    assert sentence.startswith(repr(str(target)))
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")


def run_pytest(*arguments: str, base: Path) -> Finished:
    """Run this suite's pytest."""
    return programs.run(
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
        *(f"--config-file={ROOT / 'pyproject.toml'}", f"--rootdir={ROOT}"),
        *(f"--basetemp={base / 'renders'}", *arguments),
        cwd=ROOT,
        env=programs.environment(UV=programs.uv(), PYTHONPATH=str(ROOT / "tests")),
        check=False,
    )
