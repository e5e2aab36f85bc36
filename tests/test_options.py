"""Each option has a complete description in options/."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.options import BASE, KINDS, Option, read_option, read_options, spelled
from support.proofs import PROOFS, folders
from support.questions import (
    FILE_OPTIONS,
    Question,
    behavioural_product,
    every_choice,
    file_product,
    product_of,
    read_questions,
    with_file_options,
)
from support.root import ROOT

TEMPLATE_TEXT = "\n".join(
    f"{path.relative_to(ROOT / 'template')}\n"
    + (path.read_text(encoding="utf-8") if path.name.endswith(".jinja") else "")
    for path in sorted(ROOT.glob("template/**/*"))
    if path.is_file()
)
"""The conditions in folder names, and the text of all Jinja files."""


def lacking(question: Question, option: Option | None, template: str) -> Iterator[str]:
    """Yield a sentence for each omission in the description of a question."""
    name, file = question.name, f"options/{question.name}.toml"
    if not question.details.get("help", "").strip():
        yield f"{name} needs a help text in copier.yml."
    if "default" not in question.details:
        yield f"{name} needs a default in copier.yml, for `--defaults`."
    if "when" in question.details:
        yield f"{name} is asked conditionally, which combinations do not support yet."
    if option is None:
        yield f"{name} needs a description: write {file}."
        return
    if option.kind not in KINDS:
        yield f"{file} needs a kind: one of {', '.join(KINDS)}."
    if (option.kind == "text") != (not question.answers):
        yield f"{file} calls it {option.kind}, but copier.yml has {len(question.answers)} choices."
    if option.kind == "text" and option.sample in ("", question.details.get("default")):
        yield f"{file} needs a sample: one answer that is not the default."
    if option.kind == "behaviour" and option.product not in ("full", "pairwise"):
        yield f"{file} needs a product: full, or pairwise with a reason."
    if (option.product == "pairwise") != bool(option.reason):
        yield f"{file} needs a reason if, and only if, its product is pairwise."
    if option.kind == "behaviour" and not option.mutations:
        yield f"{file} needs mutations: for each promise, what breaks it and which test fails."
    if option.words.keys() != {spelled(answer) for answer in question.answers}:
        yield f"{file} needs words for each answer and nothing else; they can be empty."
    if name not in template:
        yield f"Nothing in template/ depends on {name}."


ASKED = [question for question in read_questions().values() if not question.computed]


@pytest.mark.parametrize("question", ASKED, ids=lambda question: question.name)
def test_every_question_is_described(question: Question) -> None:
    """The description has no omissions."""
    option = read_options().get(question.name)
    assert list(lacking(question, option, TEMPLATE_TEXT)) == []


def test_every_description_has_a_question() -> None:
    """Descriptions of removed or renamed questions must be removed, too."""
    assert read_options().keys() - {BASE} == {question.name for question in ASKED}


def test_every_proof_folder_is_used() -> None:
    """Proofs in a misspelled or outdated folder would never run."""
    dropped = {folder for each in every_choice() for folder in folders(each.answers)}
    assert dropped == {file.parent for file in PROOFS.rglob("test_*.py")}


CHOICE = {"type": "str", "help": "x", "default": "a", "choices": ["a", "b"]}
TEXT = {"type": "str", "help": "x", "default": ""}
WORDS = "[words]\na = 'a'\nb = ''\n"
MUTATION = "[[mutations]]\nname='x'\nfile='x'\nold='x'\nnew='y'\nfails=['x']\n"
FULL = f"kind = 'behaviour'\nproduct = 'full'\n{WORDS}{MUTATION}"

DESCRIBED: list[tuple[dict[str, Any], str, str, str]] = [
    (CHOICE, FULL, "made_up", ""),
    (CHOICE, f"kind = 'files'\n{WORDS}", "made_up", ""),
    (TEXT, "kind = 'text'\nsample = 'x'\n", "made_up", ""),
    (CHOICE | {"help": " "}, FULL, "made_up", "needs a help text"),
    ({name: CHOICE[name] for name in ("type", "help", "choices")}, FULL, "made_up", "a default"),
    (CHOICE | {"when": "{{ x }}"}, FULL, "made_up", "asked conditionally"),
    (CHOICE, f"kind = 'code'\n{WORDS}", "made_up", "needs a kind"),
    (CHOICE, "kind = 'text'\nsample = 'x'\n" + WORDS, "made_up", "has 2 choices"),
    (TEXT, "kind = 'text'\n", "made_up", "needs a sample"),
    (CHOICE, FULL.replace("product = 'full'", ""), "made_up", "needs a product"),
    (CHOICE, FULL.replace("full", "pairwise"), "made_up", "needs a reason"),
    (CHOICE, FULL.replace("product", "reason = 'x'\nproduct"), "made_up", "needs a reason"),
    (CHOICE, FULL.replace(MUTATION, ""), "made_up", "needs mutations"),
    (CHOICE, FULL.replace("b = ''\n", ""), "made_up", "needs words"),
    (CHOICE, FULL.replace("b = ''\n", "b = ''\nc = ''\n"), "made_up", "needs words"),
    (CHOICE, FULL, "else", "Nothing in template/ depends on made_up"),
]


@pytest.mark.parametrize(("details", "text", "template", "sentence"), DESCRIBED)
def test_omissions_are_reported(
    details: dict[str, Any], text: str, template: str, sentence: str, tmp_path: Path
) -> None:
    """Each omission is reported in a sentence that says where to fix it."""
    (tmp_path / "made_up.toml").write_text(text, encoding="utf-8")

    found = list(
        lacking(Question("made_up", details), read_option(tmp_path / "made_up.toml"), template)
    )

    assert [sentence in each for each in found] == ([True] if sentence else [])


def test_missing_description_is_reported() -> None:
    """Undescribed questions are assumed to change code, so that none is overlooked."""
    question = Question("made_up", CHOICE)

    assert question.behavioural
    assert "write options/made_up.toml" in next(lacking(question, None, "made_up"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("color = 'red'\n", "has an unknown key 'color'"),
        (FULL + "where = 'x'\n", "mutation in made_up.toml has an unknown key 'where'"),
        (FULL.replace("old='x'\n", ""), "mutation in made_up.toml lacks 'old'"),
    ],
)
def test_invalid_keys_are_refused(text: str, words: str, tmp_path: Path) -> None:
    """A misspelled key would otherwise be ignored."""
    (tmp_path / "made_up.toml").write_text(text, encoding="utf-8")

    with pytest.raises(ValueError, match=words):
        read_option(tmp_path / "made_up.toml")


def test_product_is_full() -> None:
    """Every combination of answers to behavior questions occurs."""
    combinations = behavioural_product()
    assert {(c.answers["database"], c.answers["example"]) for c in combinations} >= {
        (database, example)
        for database in ("sqlite", "postgresql", "mysql")
        for example in (True, False)
    }
    assert len({str(combination) for combination in combinations}) == len(combinations)


def test_pairwise_options_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairwise options add no combinations, and each of their answers occurs."""
    kinds = {"one": "full", "two": "full", "three": "pairwise"}
    options = {name: Option(name, "behaviour", product) for name, product in kinds.items()}
    monkeypatch.setattr("support.questions.read_options", lambda: options)

    combinations = product_of(Question(name, CHOICE) for name in kinds)

    assert len(combinations) == 4
    assert {each.answers["three"] for each in combinations} == {"a", "b"}


def test_file_options_take_turns() -> None:
    """Every license and Python version occurs in the combinations that are run."""
    covered = with_file_options(behavioural_product(), file_product())
    for name in FILE_OPTIONS:
        answers = {combination.answers[name] for combination in covered}
        assert answers == set(read_questions()[name].answers)
