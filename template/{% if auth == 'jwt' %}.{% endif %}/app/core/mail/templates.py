"""Texts of mails, in files that the service owns."""

from collections.abc import Set
from html import escape
from pathlib import Path
from string import Template

from app.core.mail.message import Mail


class MailTemplate:
    """The text of a mail in `<name>.txt`, and optionally `<name>.html`.

    The first line of the text is the subject. `$link` or `${link}` stands for a value, and
    `$$` for a dollar sign.
    """

    def __init__(
        self, folder: Path, name: str, *, required: Set[str], optional: Set[str] = frozenset()
    ) -> None:
        """Read the files; each must contain the required placeholders.

        Raises:
            SystemExit: a file is missing or has the wrong placeholders.
        """
        self._names = required | optional
        text = _read(folder / f"{name}.txt", required, optional)
        html = folder / f"{name}.html"
        subject, _, body = text.partition("\n")
        if not subject.strip():
            raise SystemExit(f"{folder / name}.txt is invalid: its first line must be the subject.")
        self._subject, self._text = Template(subject.strip()), Template(body.lstrip())
        self._html = Template(_read(html, required, optional)) if html.exists() else None

    def render(self, to: str, /, **values: str) -> Mail:
        """Return a mail with these values, whose special characters have no effect.

        Raises:
            TypeError: the values are not those of the template's placeholders.
        """
        if values.keys() != self._names:
            raise TypeError(f"The mail needs values for: {', '.join(sorted(self._names))}.")
        plain = {name: _one_line(value) for name, value in values.items()}
        escaped = {name: escape(value) for name, value in plain.items()}
        return Mail(
            to,
            self._subject.substitute(plain),
            self._text.substitute(plain),
            self._html.substitute(escaped) if self._html else None,
        )


def _read(file: Path, required: Set[str], optional: Set[str]) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{file} cannot be read: {error}.") from None
    template = Template(text)
    if not template.is_valid():
        raise SystemExit(f"{file} is invalid: write $$ for a dollar sign.")
    found = set(template.get_identifiers())
    if unknown := found - required - optional:
        known = ", ".join(f"${name}" for name in sorted(required | optional))
        raise SystemExit(f"{file} is invalid: ${min(unknown)} is unknown; it can use {known}.")
    if missing := required - found:
        raise SystemExit(f"{file} is invalid: it must contain ${min(missing)}.")
    return text


def _one_line(value: str) -> str:
    """Return a value without line breaks, control characters and marks of text direction."""
    return "".join(character if character.isprintable() else " " for character in value)
