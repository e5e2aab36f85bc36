"""Templates of mails are checked at start, and values have no effect on their structure."""

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from pydantic import HttpUrl, SecretStr

from app.core.auth.mails import Mails
from app.core.auth.settings import Settings
from app.core.mail import Mail, MailTemplate
from tests.proofs.auth.mail.conftest import ADDRESS

LINK = "https://example.com/reset#token=abc&x=1"

HOSTILE = (
    "\r\nBcc: eve@example.com\n<script>alert(1)</script>\"' onload=x $link ${link} $$ \u202e\udc80"
)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str | None = "Hi\n\n$link\n", html: str | None = None) -> Path:
        for end, content in (("txt", text), ("html", html)):
            if content is not None:
                (tmp_path / f"hello.{end}").write_text(content, encoding="utf-8")
        return tmp_path

    return write


def load(folder: Path) -> MailTemplate:
    return MailTemplate(folder, "hello", required={"link"}, optional={"service", "lifetime"})


def test_values_are_filled_in(write: Any) -> None:
    template = load(
        write("Hi from $service\n\nOpen ${link}.\nIt costs $$5.\n", '<a href="$link">$service</a>')
    )

    mail = template.render(ADDRESS, link=LINK, service="Läden & Co", lifetime="one hour")

    assert mail.to == ADDRESS
    assert mail.subject == "Hi from Läden & Co"
    assert mail.text == f"Open {LINK}.\nIt costs $5.\n"
    assert mail.html == ('<a href="https://example.com/reset#token=abc&amp;x=1">Läden &amp; Co</a>')


def test_html_is_optional(write: Any) -> None:
    mail = load(write()).render(ADDRESS, link=LINK, service="", lifetime="")

    assert mail.html is None


class Tags(HTMLParser):
    """Collects tags and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))


def test_hostile_values_stay_text(write: Any) -> None:
    template = load(write("Hi $service\n\n$link\n", '<p title="$service"><b>$link</b></p>'))

    mail = template.render(ADDRESS, link=HOSTILE, service=HOSTILE, lifetime="")

    assert mail.subject.isprintable()
    assert len(mail.text.splitlines()) == 1
    assert mail.html
    tags = Tags()
    tags.feed(mail.html)
    assert [(tag, [name for name, _ in attrs]) for tag, attrs in tags.found] == [
        ("p", ["title"]),
        ("b", []),
    ]
    assert "$link ${link} $$" in mail.subject


@pytest.mark.parametrize("values", [{}, {"link": "x"}, {"link": "x", "name": "y"}])
def test_values_must_be_complete(write: Any, values: dict[str, str]) -> None:
    with pytest.raises(TypeError, match="needs values for: lifetime, link, service"):
        load(write()).render(ADDRESS, **values)


@pytest.mark.parametrize(
    ("text", "html", "sentence"),
    [
        (None, None, r"hello\.txt cannot be read: .*"),
        ("Hi\n", None, r"hello\.txt is invalid: it must contain \$link\."),
        ("Hi\n$link", "<p>", r"hello\.html is invalid: it must contain \$link\."),
        (
            "Hi\n$link $nam",
            None,
            r"hello\.txt is invalid: \$nam is unknown; it can use \$lifetime, \$link, \$service\.",
        ),
        ("Hi\n$link", "$link $nam", r"hello\.html is invalid: \$nam is unknown; .*"),
        ("Hi\n$link $5", None, r"hello\.txt is invalid: write \$\$ for a dollar sign\."),
        ("\n$link", None, r"hello\.txt is invalid: its first line must be the subject\."),
        ("", None, r"hello\.txt is invalid: it must contain \$link\."),
    ],
)
def test_invalid_template_is_one_sentence(
    write: Any, text: str | None, html: str | None, sentence: str
) -> None:
    with pytest.raises(SystemExit, match=f"{sentence}$"):
        load(write(text, html))


def test_file_that_is_not_text_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_bytes(b"\xff")

    with pytest.raises(SystemExit, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("registration", "register#token=abc"),
        ("invitation", "register#token=abc"),
        ("email_change", "confirm-email#token=abc"),
        ("reset", "reset-password#token=abc"),
        ("password_changed", "forgot-password"),
        ("address_change_requested", "forgot-password"),
        ("address_changed", ""),
    ],
)
def test_texts_of_the_service(name: str, page: str) -> None:
    """Also with a name and an address that need to be escaped."""
    settings = Settings(
        token_secret=SecretStr("x" * 32), frontend_url=HttpUrl("https://example.com/shop/")
    )
    write: Callable[..., Mail] = getattr(Mails("Läden & Co", settings), name)

    mail = write(ADDRESS, "abc") if "#token" in page else write(ADDRESS)

    link = f"https://example.com/shop/{page}"
    assert "Läden & Co" in mail.subject
    assert link in mail.text.splitlines()
    assert mail.html
    assert "Läden &amp; Co" in mail.html
    tags = Tags()
    tags.feed(mail.html)
    assert ("a", [("href", link)]) in tags.found
