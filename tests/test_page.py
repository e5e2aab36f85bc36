"""The page that is published with each release: its content, and its behavior in Chromium."""

import fcntl
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from difflib import SequenceMatcher
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from playwright.sync_api import Browser, Page, Request

import page as generator
from support import programs
from support.checks import functions
from support.fragments import ADDRESS, README
from support.golden import ANSWERS_FILE, changed_paths
from support.options import read_options, spelled
from support.questions import Combination, behavioural_product, every_choice, read_questions
from support.rendering import Renders, once, texts_in
from support.root import ROOT

COMMAND = f"uvx --from {ADDRESS} prewired new my-service --defaults%s"

COMPARED = (
    "#database=postgresql&example=false&container=true&compare=yes&with.ci=none"
    "&file=.github/workflows/ci.yml"
)
"""A comparison with files only here, only there and changed."""


def build(folder: Path, **env: str) -> None:
    """Build the page in a new folder."""
    folder.mkdir()
    command = (sys.executable, "tools/page.py", str(folder / "page.html"))
    programs.run(*command, cwd=ROOT, env=programs.environment(**env))


@pytest.fixture(scope="session")
def file(shared_folder: Path) -> Path:
    """The page, built once for all processes."""
    with (shared_folder / "page.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return once(shared_folder / "page", build) / "page.html"


@pytest.fixture(scope="session")
def data(file: Path) -> dict[str, Any]:
    """The JSON data of the page."""
    found = re.search(r' id="data">(.+?)</script>', file.read_text(encoding="utf-8"))
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def texts_on(data: dict[str, Any], key: str) -> dict[str, str]:
    """Return the text of each file of a project on the page."""
    return dict(data["files"][number] for number in data["projects"][key])


def key(**answers: str | bool) -> str:
    """Return the key of the project with these answers, and defaults for others."""
    return generator.key(generator.DEFAULTS | answers)


@pytest.mark.parametrize(
    "combination",
    [each for each in every_choice() if not each.files.keys() & generator.LEFT_OUT],
    ids=Combination.full_name,
)
def test_files_are_those_of_the_render(
    combination: Combination, data: dict[str, Any], render: Renders
) -> None:
    """The page is rendered faster than the suite renders, but with the same result."""
    found = texts_on(data, key(**combination.answers))
    expected = texts_in(render(combination.answers))

    remembered = [yaml.safe_load(texts.pop(ANSWERS_FILE)) for texts in (found, expected)]
    assert remembered[0] == remembered[1] | {"_src_path": ADDRESS}
    address = remembered[1]["_src_path"]
    assert found == {path: text.replace(address, ADDRESS) for path, text in expected.items()}


def test_every_choice_of_the_form_exists(data: dict[str, Any]) -> None:
    """Each project on the page has the answers of its key."""
    questions = [
        question
        for question in read_questions().values()
        if question.answers and question.name not in generator.LEFT_OUT
    ]
    keys = {",".join(map(spelled, each)) for each in product(*(q.answers for q in questions))}
    assert data["projects"].keys() == keys
    for each in keys:
        answers = yaml.safe_load(texts_on(data, each)[ANSWERS_FILE])
        assert each == ",".join(spelled(answers[question.name]) for question in questions)


def test_page_is_small(data: dict[str, Any], file: Path) -> None:
    """Each distinct file is stored once."""
    assert len(set(map(tuple, data["files"]))) == len(data["files"])
    assert file.stat().st_size < 2_000_000


def test_page_is_deterministic(file: Path, tmp_path: Path) -> None:
    """The order of sets and the place of the renders leave no trace."""
    (tmp_path / "elsewhere").mkdir()
    build(tmp_path / "again", PYTHONHASHSEED="1", TMPDIR=str(tmp_path / "elsewhere"))
    assert (tmp_path / "again" / "page.html").read_bytes() == file.read_bytes()


def test_readme_has_the_same_placeholder() -> None:
    """A command on the page looks like the README's."""
    assert ADDRESS in README.read_text(encoding="utf-8")


def test_results_and_mutations_are_complete(data: dict[str, Any], render: Renders) -> None:
    """Test functions are counted in renders, and every mutation is listed."""
    for combination, row in zip(behavioural_product(), data["results"], strict=True):
        assert row["answers"] == {k: spelled(v) for k, v in combination.answers.items()}
        assert row["counts"][1] == functions(render(combination.answers) / "tests") > 0
        assert row["counts"][2] > row["counts"][1]
    mutations = [each for option in read_options().values() for each in option.mutations]
    for mutation, row in zip(map(asdict, mutations), data["mutations"], strict=True):
        assert row["name"] == mutation["name"]
        assert row["fails"] == list(mutation["fails"])
        assert set(row["databases"]) >= set(mutation["databases"])
        assert row["databases"]


Open = Callable[..., Page]
Scheme = Literal["light", "dark"]


@pytest.fixture
def open_page(browser: Browser, file: Path) -> Iterator[Open]:
    """Open the page; afterwards, it must not have reported an error or loaded anything."""
    faults: list[str] = []

    def requested(request: Request) -> None:
        if not request.url.startswith((file.as_uri(), "data:")):
            faults.append(request.url)

    def start(state: str = "", width: int = 1600, scheme: Scheme = "light") -> Page:
        tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        tab.on("console", lambda message: faults.append(message.text))
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("request", requested)
        tab.goto(file.as_uri() + state)
        return tab

    yield start
    for context in browser.contexts:
        context.close()
    assert faults == []


def tab_to(tab: Page, selector: str) -> None:
    """Press the tabulator key until an element has the focus."""
    for _ in range(300):
        tab.keyboard.press("Tab")
        if tab.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"The tabulator key does not reach {selector}.")


def test_answers_are_chosen_with_the_keyboard(open_page: Open, data: dict[str, Any]) -> None:
    """The command, the files and the address follow."""
    tab = open_page()
    assert tab.text_content("#command") == COMMAND % ""

    tab_to(tab, "[name=database]")
    tab.keyboard.press("ArrowDown")
    tab_to(tab, "[name=example]")
    tab.keyboard.press("ArrowDown")

    answers = " --data database=postgresql --data example=false"
    assert tab.text_content("#command") == COMMAND % answers
    assert "#database=postgresql&example=false&" in tab.url
    tab.get_by_role("button", name="Copy").press("Enter")
    assert tab.evaluate("getSelection().toString()") == COMMAND % answers
    texts = texts_on(data, key(database="postgresql", example=False))
    lines = {path: text.count("\n") for path, text in texts.items()}
    shown = [row.split() for row in tab.locator("#files li").all_inner_texts()]
    assert {path: int(count) for path, count in shown} == lines
    assert tab.text_content("#summary") == f"{len(lines)} files, {sum(lines.values())} lines"

    tab_to(tab, "#files a")
    for pressed in ("ArrowDown", "ArrowDown", "ArrowUp", "Enter"):
        tab.keyboard.press(pressed)
    path = list(texts)[1]
    assert tab.text_content("#path") == path
    assert tab.text_content("#text") == texts[path]
    assert tab.evaluate("document.activeElement.textContent") == path

    link = tab.url
    again = open_page(link[link.index("#") :])
    assert again.text_content("#command") == tab.text_content("#command")
    assert again.text_content("#path") == path


def test_difference_is_right(open_page: Open, data: dict[str, Any]) -> None:
    """Applying the difference to one project results in the other."""
    tab = open_page(COMPARED)
    here = texts_on(data, key(database="postgresql", example=False, container=True))
    there = texts_on(data, key(ci="none"))

    notes = {"adds": "only there", "removes": "only here", "touches": "changed"}
    expected = {path: notes[what] for path, what in changed_paths(here, there).items()}
    rows = [row.split(maxsplit=1) for row in tab.locator("#files li").all_inner_texts()]
    assert dict(rows) == expected
    assert set(expected.values()) == set(notes.values())

    for link in tab.locator("#files a").all():
        link.click()
        path = tab.text_content("#path") or ""
        before, after = (texts.get(path, "").splitlines() for texts in (here, there))
        lines = tab.locator("#text .line").evaluate_all(LINES)
        assert applied(before, [text for _, text in lines]) == after
        for number, text in lines:
            if number:
                assert (before if text[0] == "-" else after)[int(number) - 1] == text[1:]
        changes = [text for _, text in lines[2:] if text[0] in "+-"]
        blocks = SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
        assert len(changes) <= len(before) + len(after) - 2 * sum(block.size for block in blocks)


LINES = "lines => lines.map(line => [line.dataset.number, line.textContent.slice(0, -1)])"


def applied(before: list[str], diff: list[str]) -> list[str]:
    """Apply a unified diff, whose line numbers must be right."""
    after: list[str] = []
    done = 0
    for line in diff[2:]:
        if hunk := re.match(r"@@ -(\d+),(\d+) \+(\d+),(\d+) @@$", line):
            start, removed, new_start, added = map(int, hunk.groups())
            after += before[done : start - (removed > 0)]
            done = start - (removed > 0)
            assert len(after) == new_start - (added > 0)
        else:
            if line[0] in " -":
                assert before[done] == line[1:]
                done += 1
            if line[0] in " +":
                after.append(line[1:])
    return after + before[done:]


def test_comparison_is_chosen_in_the_form(open_page: Open, data: dict[str, Any]) -> None:
    """Each control has a label, and the comparison begins without a difference."""
    tab = open_page()
    tab.get_by_label("Compare with another service").check()
    equal = len(texts_on(data, key()))
    summary = f"Files: 0 only here, 0 only there, 0 changed, {equal} same"
    assert tab.text_content("#summary") == summary
    tab.get_by_label("container there").select_option("true")
    assert tab.text_content("#other-command") == COMMAND % " --data container=true"
    assert "Dockerfile only there" in tab.inner_text("#files").replace("\n", " ")
    tab.get_by_label("Compare with another service").uncheck()
    assert "compare" not in tab.url


def test_mutations_are_filtered(open_page: Open, data: dict[str, Any]) -> None:
    """Each word must be in the name, the file, a test or a database."""
    tab = open_page()
    tab.get_by_label("Filter").press_sequentially("app/core test_outage.py")
    named = [each["name"] for each in data["mutations"] if "test_outage.py" in str(each["fails"])]
    assert tab.locator("#mutation-rows tr:visible summary").all_inner_texts() == named
    assert tab.text_content("#found") == f"{len(named)} of {len(data['mutations'])}"


CONTRASTS = """() => {
    const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = (color) => numbers(color).slice(0, 3).map((value) => value / 255)
        .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
    const background = (element) => {
        const color = getComputedStyle(element).backgroundColor;
        return numbers(color)[3] === 0 ? background(element.parentElement) : color;
    };
    const found = {};
    for (const element of document.body.querySelectorAll("*")) {
        const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
        if (!texts.some((node) => node.data.trim()) || !element.checkVisibility()) continue;
        for (const part of [null, "::before"]) {
            const pair = [getComputedStyle(element, part).color, background(element)];
            const [dark, light] = pair.map(luminance).sort((one, other) => one - other);
            found[pair.join(" on ")] = (light + 0.05) / (dark + 0.05);
        }
    }
    return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(scheme: Scheme, open_page: Open) -> None:
    """WCAG AA requires 4.5; the page follows the preferred color scheme."""
    tab = open_page(COMPARED, scheme=scheme)
    tab.locator("summary").first.click()
    contrasts = tab.evaluate(CONTRASTS)
    assert len(contrasts) >= 9
    assert {pair: ratio for pair, ratio in contrasts.items() if ratio < 4.5} == {}
    color = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(color.split(",")[1]) > 128) == (scheme == "light")


@pytest.mark.parametrize("width", [360, 1600])
@pytest.mark.parametrize("state", ["", COMPARED], ids=["one", "compared"])
def test_page_fits_its_window(width: int, state: str, open_page: Open) -> None:
    """Only code scrolls sideways, and a wide window is used."""
    tab = open_page(state, width)
    for summary in tab.locator("summary").all()[:9]:
        summary.click()
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= width
    files, text = (tab.locator(each).bounding_box() for each in ("#files", ".file"))
    assert files
    assert text
    assert (text["x"] > files["x"]) == (width == 1600)
    assert text["x"] + text["width"] > width * 0.9
