"""Limits for attempts, such as logins, per account and per client.

They are counted in the database, so that they apply to all processes. Each key has one row
with one number, which is changed only by statements that other processes cannot interrupt:
https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
"""

import hashlib
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from time import time_ns

from fastapi import Request
from sqlalchemy import CursorResult, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.auth.errors import TooManyAttemptsError
from app.core.auth.models import Throttle


@dataclass(frozen=True)
class Limit:
    """A number of attempts, after which one more is allowed per interval."""

    name: str
    burst: int
    interval: int
    """Milliseconds."""

    def key(self, subject: str) -> str:
        """Return the key of an account or a client; it does not reveal which."""
        return _key(self.name, subject)


PASSWORDS = Limit("passwords", burst=5, interval=60_000)
"""Attempts to guess the password of an account."""
MAILS = Limit("mails", burst=3, interval=10 * 60_000)
"""Mails that anybody can have sent to an address."""
CLIENTS = Limit("clients", burst=50, interval=6_000)
"""Attempts of a client, for all accounts."""


def client_of(request: Request) -> str:
    """Return the client's IPv4 address or its IPv6 network; one customer has many addresses."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return address.exploded[:19]
    return str(address)


async def charge(session: AsyncSession, limit: Limit, subject: str) -> None:
    """Count an attempt, and commit.

    Raises:
        TooManyAttemptsError: the limit is reached; the attempt is not counted.
    """
    key = limit.key(subject)
    while True:
        before = await session.scalar(select(Throttle.free_at).where(Throttle.key == key))
        now = _now()
        after = max(now, before or 0) + limit.interval
        excess = after - now - limit.burst * limit.interval
        if excess > 0:
            raise TooManyAttemptsError(wait=-(-excess // 1000))
        # Another request can have counted in between: then, look again.
        if before is None:
            try:
                await session.execute(insert(Throttle).values(key=key, free_at=after))
                await session.commit()
            except IntegrityError:
                await session.rollback()
                continue
            await _forget_some(session)
            return
        counted = await session.execute(
            update(Throttle)
            .where(Throttle.key == key, Throttle.free_at == before)
            .values(free_at=after)
        )
        await session.commit()
        if changed(counted):
            return


async def refund(session: AsyncSession, limit: Limit, subject: str) -> None:
    """Forget one attempt."""
    await session.execute(
        update(Throttle)
        .where(Throttle.key == limit.key(subject))
        .values(free_at=Throttle.free_at - limit.interval)
    )


async def clear(session: AsyncSession, limit: Limit, subject: str) -> None:
    """Forget all attempts."""
    await session.execute(delete(Throttle).where(Throttle.key == limit.key(subject)))


async def spend(session: AsyncSession, token_id: str, lifetime: int) -> bool:
    """Record the use of a token for `lifetime` seconds, and return whether it is the first.

    The record is part of the transaction; if it is not the first, that is rolled back.
    """
    until = _now() + lifetime * 1000
    try:
        await session.execute(insert(Throttle).values(key=_key("spent", token_id), free_at=until))
    except IntegrityError:
        await session.rollback()
        return False
    return True


async def purge(session: AsyncSession) -> None:
    """Remove the rows that no longer limit anything."""
    await session.execute(delete(Throttle).where(Throttle.free_at < _now()))


async def _forget_some(session: AsyncSession) -> None:
    """Remove a few old rows, and commit, so that their number stays bounded without `purge`."""
    old = select(Throttle.key).where(Throttle.free_at < _now())
    keys = await session.scalars(old.limit(10).with_for_update(skip_locked=True))
    await session.execute(delete(Throttle).where(Throttle.key.in_(keys.all())))
    await session.commit()


def _key(name: str, subject: str) -> str:
    return hashlib.sha256(f"{name}:{subject}".encode()).hexdigest()


def _now() -> int:
    return time_ns() // 1_000_000


def changed(result: object) -> bool:
    """Return whether a statement changed a row."""
    return isinstance(result, CursorResult) and result.rowcount > 0
