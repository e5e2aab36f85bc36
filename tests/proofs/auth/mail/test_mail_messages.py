"""No text can add a header or a recipient to a mail."""

import random
from email import message_from_bytes, policy

import pytest

from app.core.mail import Mail, mask_address
from app.core.mail.message import compose, is_address, parse_sender

SENDER = parse_sender("Songs <noreply@example.org>")

BREAKS = ["\r", "\n", "\r\n", "\x00", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\udc80"]


@pytest.mark.parametrize("character", BREAKS)
def test_subject_is_one_line(character: str) -> None:
    with pytest.raises(ValueError, match="subject of a mail must be one line"):
        Mail("ada@example.com", f"Hello{character}Bcc: eve@example.com", "")


@pytest.mark.parametrize(("text", "html"), [("\ud800", None), ("", "\udfff")])
def test_text_is_unicode(text: str, html: str | None) -> None:
    with pytest.raises(ValueError, match="text of a mail must be valid Unicode"):
        Mail("ada@example.com", "Hello", text, html)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@example.com, eve@example.com",
        "ada@example.com eve@example.com",
        "Ada <ada@example.com>",
        "<ada@example.com>",
        "ada@example.com> SIZE=1",
        '"ada\\"@x"@example.com',
        "ada..b@example.com",
        ".ada@example.com",
        "ada@example..com",
        "ädä@example.com",
        "ada@exämple.com",
        "a" * 250 + "@example.com",
        *(f"ada{character}@example.com" for character in BREAKS),
        *(f"ada@example.com{character}Bcc: eve@example.com" for character in BREAKS),
        *(f"ada@example.com{character}" for character in BREAKS),
    ],
)
def test_recipient_is_one_address(address: str) -> None:
    with pytest.raises(ValueError, match="recipient of a mail must be an address") as refused:
        Mail(address, "Hello", "")

    assert not address or address not in str(refused.value)


@pytest.mark.parametrize("character", BREAKS)
def test_name_of_the_sender_is_one_line(character: str) -> None:
    with pytest.raises(ValueError, match="it must look like"):
        parse_sender(f"Songs{character}Bcc: eve@example.com <noreply@example.com>")


def test_every_valid_address_arrives_unchanged() -> None:
    chance = random.Random(1)  # noqa: S311
    tried = 0
    while tried < 200:
        local = "".join(chance.choices("abz09._-+'!#$%&*/=?^`{|}~\"(),:;<>@[\\] ", k=8))
        address = f"{local}@example.com"
        if not is_address(address):
            continue
        tried += 1
        message = compose(Mail(address, "Hello", ""), SENDER)
        read = message_from_bytes(bytes(message), policy=policy.default)
        assert [each.addr_spec for each in read["To"].addresses] == [address]


@pytest.mark.parametrize(
    "subject", ["", "Grüße 🎁", "x" * 2000, "ü" * 500, "a " * 500, "=?utf-8?q?x?=", "Bcc: a@b"]
)
def test_any_subject_stays_one_header(subject: str) -> None:
    message = compose(Mail("ada@example.com", subject, "Hello"), SENDER)

    read = message_from_bytes(bytes(message), policy=policy.default)
    assert set(read.keys()) == set(message.keys())
    assert read["To"] == "ada@example.com"
    assert read["From"] == "Songs <noreply@example.org>"


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("ada@example.com", "a***@example.com"),
        ("a@example.com", "***@example.com"),
        ("a password@by mistake", "***"),
        ("a password", "***"),
        ("", "***"),
    ],
)
def test_masked_addresses(address: str, masked: str) -> None:
    assert mask_address(address) == masked
