"""Hooks of Schemathesis, which loads this file: who sends the requests, and a check."""

import itertools
import json
import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any
from zlib import crc32

import schemathesis

ADMINS = json.loads(Path(os.environ["ADMINS"]).read_text(encoding="utf-8"))
"""Admins whose credentials the requests use, if the service has users; see `make_admins.py`."""
PASSWORD = os.environ["PASSWORD"]
STATUSES = Path(os.environ["STATUSES"])
"""File for the statuses with which each operation was answered."""

NAMED = {401, 403, 429}
"""Statuses for which the description of any error, `default`, is not enough."""

numbers = itertools.count(1)
takers = itertools.cycle(ADMINS[:-1])
calls: Counter[str] = Counter()
answered: dict[str, set[int]] = defaultdict(set)


@schemathesis.hook
def before_call(
    _context: schemathesis.HookContext, case: schemathesis.Case[Any], **_kwargs: object
) -> None:
    """Send the request as an admin, or without a token, and with real secrets, or made-up ones.

    Every request comes from its own client, and requests that can end sessions have their own
    admins. So neither limits nor lost sessions hide what is behind them.
    """
    number, label = next(numbers), case.operation.label
    calls[label] += 1
    case.headers["X-Forwarded-For"] = f"10.0.{number // 256}.{number % 256}"
    if not ADMINS:
        return
    takes = case.path.startswith("/auth/") or label == "POST /users"
    admin = next(takers) if takes else ADMINS[-1]
    # Depends on the content, so that a failure can be repeated.
    parts = (case.path_parameters, case.query, case.body)
    content = [part for part in parts if isinstance(part, dict) and part]
    choice = crc32(repr(content).encode(errors="replace")) if content else calls[label]
    if choice % 4:
        case.headers["Authorization"] = f"Bearer {admin['access_token']}"
    if choice % 3:
        _use_secrets(case, admin, f"new-{number}@example.com" if choice % 2 else admin["email"])


def _use_secrets(case: schemathesis.Case[Any], admin: dict[str, Any], email: str) -> None:
    secrets = {
        "email": admin["email"] if case.path == "/auth/login" else email,
        "username": admin["email"],
        "password": PASSWORD,
        "current_password": PASSWORD,
        "new_password": f"{PASSWORD} and two more",
        "refresh_token": admin["refresh_token"],
        "token": admin["links"].get(case.path),
    }
    if isinstance(case.body, dict):
        real = {name: secrets[name] for name in case.body.keys() & secrets.keys()}
        case.body = {**case.body, **real}
    if "session_id" in case.path_parameters:
        case.path_parameters["session_id"] = admin["session_id"]


@schemathesis.hook
def after_call(
    _context: schemathesis.HookContext,
    case: schemathesis.Case[Any],
    response: schemathesis.Response,
) -> None:
    """Record the status."""
    answered[case.operation.label].add(response.status_code)
    text = json.dumps({label: sorted(statuses) for label, statuses in answered.items()})
    STATUSES.write_text(text, encoding="utf-8")


@schemathesis.check
def refusals_are_described(
    _context: schemathesis.CheckContext,
    response: schemathesis.Response,
    case: schemathesis.Case[Any],
) -> None:
    """Check that the operation describes refusals that concern only some operations."""
    described = case.operation.definition.raw["responses"]
    status = response.status_code
    assert status not in NAMED or str(status) in described, f"The status {status} is not described."
