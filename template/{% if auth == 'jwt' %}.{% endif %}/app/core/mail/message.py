"""Mails and their representation as messages."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid

LONGEST_ADDRESS = 254
ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
ADDRESS = re.compile(rf"{ATOM}(\.{ATOM})*@[a-z0-9-]+(\.[a-z0-9-]+)*", re.ASCII | re.IGNORECASE)
"""Addresses that need no quotes; names of domains are in ASCII."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""Halves of characters, which JSON can contain, but UTF-8 cannot."""

READABLE = SMTP.clone(max_line_length=998)
"""The longest lines that SMTP allows, so that links in files are not broken."""


@dataclass(frozen=True)
class Mail:
    """A mail to one recipient.

    Raises:
        ValueError: a value is invalid; the message of the error does not contain it.
    """

    to: str
    """The address alone, without a name."""
    subject: str
    text: str
    html: str | None = None

    def __post_init__(self) -> None:
        if not is_address(self.to):
            raise ValueError("The recipient of a mail must be an address.")
        if not self.subject.isprintable():
            raise ValueError("The subject of a mail must be one line of printable characters.")
        if SURROGATE.search(f"{self.text}{self.html}"):
            raise ValueError("The text of a mail must be valid Unicode.")

    def __repr__(self) -> str:
        """Return a text without secrets; a mail can end up in a log."""
        return f"Mail(to={mask_address(self.to)!r})"


def is_address(text: str) -> bool:
    """Return whether the text is an address without a name, in ASCII."""
    return len(text) <= LONGEST_ADDRESS and ADDRESS.fullmatch(text) is not None


def mask_address(address: str) -> str:
    """Return what logs can contain of an address: `a***@example.com`; of other text, nothing."""
    if not is_address(address):
        return "***"
    local, _, domain = address.partition("@")
    return f"{local[:1] if len(local) > 1 else ''}***@{domain}"


def parse_sender(text: str) -> Address:
    """Parse `address` or `Name <address>`.

    Raises:
        ValueError: the text is neither.
    """
    found = re.fullmatch(r"(?:(?P<name>.*?)\s*<)?(?P<address>[^<>]+)(?(name)>)", text.strip())
    if not found or not text.isprintable() or not is_address(found["address"]):
        raise ValueError("it must look like noreply@example.com or Name <noreply@example.com>")
    return Address((found["name"] or "").strip('"'), addr_spec=found["address"])


def compose(mail: Mail, sender: Address) -> EmailMessage:
    """Return the message of a mail."""
    message = EmailMessage(READABLE)
    message["From"] = sender
    message["To"] = Address(addr_spec=mail.to)
    message["Subject"] = mail.subject
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = make_msgid(domain=sender.domain)
    message["Auto-Submitted"] = "auto-generated"  # no vacation notices in return
    message.set_content(mail.text)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    return message
