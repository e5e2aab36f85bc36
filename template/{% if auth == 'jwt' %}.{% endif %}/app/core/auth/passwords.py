"""Password hashes, and a check of new passwords."""

import asyncio
import re
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from secrets import token_bytes
from typing import Self

from pwdlib.hashers.argon2 import Argon2Hasher

from app.core.auth.errors import WeakPasswordError
from app.core.auth.settings import PasswordSettings
from app.core.distribution import distribution

SHORTEST, LONGEST = 12, 128
FEWEST_CHARACTERS = 5
"""Minimum number of different characters."""
OWN_CHARACTERS = 6
"""Minimum number of characters besides common words, and the names of the user and the service."""
COMMON_WORDS = (
    *("1234567890", "123456789", "12345678", "1234567", "123456", "qwertyuiop", "qwerty"),
    *("password", "passw0rd", "welcome", "letmein", "iloveyou", "changeme", "trustno1", "admin"),
)
"""What people extend to reach a length, the longest of each kind first."""
COSTS = re.compile(r"\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$")


class Passwords:
    """Hashes and verifies passwords in threads, a limited number at the same time."""

    def __init__(self, *, memory: int, rounds: int, parallelism: int = 1, at_once: int = 1) -> None:
        self._hasher = Argon2Hasher(rounds, memory, parallelism)
        self._costs = memory, rounds
        # Verifying a password against this hash takes as long as against one of a user.
        salt, digest = (b64encode(token_bytes(size)).decode().rstrip("=") for size in (16, 32))
        self._nobody = f"$argon2id$v=19$m={memory},t={rounds},p={parallelism}${salt}${digest}"
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="passwords")

    @classmethod
    def of(cls, settings: PasswordSettings) -> Self:
        """Create an object with the costs in the settings."""
        return cls(
            memory=settings.password_hash_memory,
            rounds=settings.password_hash_rounds,
            parallelism=settings.password_hash_parallelism,
            at_once=settings.password_hashes_at_once,
        )

    async def hash(self, password: str) -> str:
        """Return the hash of a password."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._hasher.hash, password
        )

    async def verify(self, password: str, known: str | None) -> bool:
        """Return whether a password matches a hash; it takes as long if there is none."""
        matches = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._hasher.verify, password, known or self._nobody
        )
        return matches and known is not None

    def is_weaker(self, known: str) -> bool:
        """Return whether a hash costs less than new ones, and in no way more."""
        found = COSTS.match(known)
        if found is None:
            return False
        costs = int(found[1]), int(found[2])
        return costs != self._costs and all(
            old <= new for old, new in zip(costs, self._costs, strict=True)
        )


def check_new_password(password: str, email: str) -> None:
    """Check that a password is not easy to guess.

    Raises:
        WeakPasswordError: it is; the message says why.
    """
    text = password.casefold()
    if text in _common_passwords():
        raise WeakPasswordError("Many people use this password: choose another.")
    if len(set(text)) < FEWEST_CHARACTERS:
        raise WeakPasswordError("Use more different characters in the password.")
    rest = text
    names = (email, *re.split(r"[@.+_-]", email), *distribution()[0].split("-"))
    for name in (*COMMON_WORDS, *names):
        if len(name) > 2:
            rest = rest.replace(name, "")
    if len(rest) < OWN_CHARACTERS:
        raise WeakPasswordError("Use more than common words, your address and this service's name.")


@cache
def _common_passwords() -> frozenset[str]:
    """Return common passwords that are long enough to be accepted otherwise."""
    file = Path(__file__).with_name("common_passwords.txt")
    return frozenset(file.read_text(encoding="utf-8").split())
