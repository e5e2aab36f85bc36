"""Signed tokens (JWT): access tokens, and the tokens in mails."""

import hashlib
import re
from enum import StrEnum
from secrets import token_urlsafe
from time import time

import jwt

from app.core.auth.errors import InvalidTokenError
from app.core.auth.settings import Settings, split
from app.core.distribution import distribution

ALGORITHM = "HS256"
LEEWAY = 5
"""Difference between the clocks of two machines, in seconds."""
LONGEST = 2048
LARGEST_ID = 2**31 - 1
UNREADABLE = (jwt.PyJWTError, KeyError, ValueError, OverflowError, RecursionError)
"""Errors of invalid tokens; forged ones can have deep nesting or huge numbers."""


class Purpose(StrEnum):
    """What a token is for. A token for one purpose is not accepted for another."""

    ACCESS = "access"
    REGISTRATION = "registration"
    PASSWORD_RESET = "password-reset"  # noqa: S105
    EMAIL_CHANGE = "email-change"


class Tokens:
    """Creates and reads tokens."""

    def __init__(self, settings: Settings) -> None:
        current = settings.token_secret.get_secret_value()
        secrets = [current, *split(settings.token_old_secrets)]
        self._keys = {_key_id(secret): secret for secret in secrets}
        self._signing_key = _key_id(current)
        self._issuer = distribution()[0]

    def create(self, purpose: Purpose, lifetime: int, **claims: str) -> str:
        """Return a token that is valid for `lifetime` seconds."""
        now = int(time())
        # A token that works once is known by its ID: its text can be written in several ways.
        standard = {"iss": self._issuer, "aud": self._audience(purpose), "jti": token_urlsafe(12)}
        times = {"iat": now, "exp": now + lifetime}
        return jwt.encode(
            {**standard, **times, **claims},
            self._keys[self._signing_key],
            ALGORITHM,
            headers={"kid": self._signing_key},
        )

    def read(self, purpose: Purpose, token: str, *names: str) -> list[str]:
        """Return the claims with these names.

        Raises:
            InvalidTokenError: the token is invalid, expired, or for another purpose.
        """
        if len(token) > LONGEST:
            raise InvalidTokenError
        try:
            claims = jwt.decode(
                token,
                self._keys[jwt.get_unverified_header(token)["kid"]],
                algorithms=[ALGORITHM],
                audience=self._audience(purpose),
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": ["aud", "exp", "iat", "iss", *names], "strict_aud": True},
            )
        except UNREADABLE:
            raise InvalidTokenError from None
        if any(type(claims[name]) is not int for name in ("exp", "iat")):
            raise InvalidTokenError
        values = [claims[name] for name in names]
        if not all(isinstance(value, str) for value in values):
            raise InvalidTokenError
        return values

    def _audience(self, purpose: Purpose) -> str:
        return f"{self._issuer}/{purpose}"


def read_id(claim: str) -> int:
    """Return an ID from a claim.

    Raises:
        InvalidTokenError: it cannot be the ID of a row.
    """
    if not re.fullmatch(r"[1-9][0-9]{0,9}", claim) or int(claim) > LARGEST_ID:
        raise InvalidTokenError
    return int(claim)


def _key_id(secret: str) -> str:
    return hashlib.sha256(f"key id of {secret}".encode()).hexdigest()[:16]
