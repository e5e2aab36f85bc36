"""The pool of database connections, which reports how it is used."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import (
    AsyncAdaptedQueuePool,
    ConnectionPoolEntry,
    PoolProxiedConnection,
    QueuePool,
)

logging.getLogger(__name__).setLevel(logging.WARNING)  # as SQLAlchemy does for its own pools


class ObservedPool(AsyncAdaptedQueuePool):
    """A pool that calls its observers whenever a number changes.

    Attributes:
        waiting: number of tasks that wait for a connection, because all are in use.
        timeouts: number of tasks that have waited in vain.
    """

    waiting = 0
    timeouts = 0
    _observers: tuple[Callable[[ObservedPool], None], ...] = ()

    def observe(self, observer: Callable[[ObservedPool], None]) -> None:
        """Call `observer` now, and after each change."""
        self._observers += (observer,)
        observer(self)

    def connect(self) -> PoolProxiedConnection:
        """Return a connection, once one is free."""
        waits = self.checkedout() >= self.size()
        if waits:
            self.waiting += 1
            self._report()
        try:
            return super().connect()
        except PoolTimeoutError:
            self.timeouts += 1
            raise
        finally:
            self.waiting -= waits
            self._report()

    def recreate(self) -> QueuePool:
        """Return a new pool, when the engine is disposed of."""
        pool = super().recreate()
        if isinstance(pool, ObservedPool):
            pool._observers = self._observers
            pool.timeouts = self.timeouts
        return pool

    # SQLAlchemy's event `checkin` comes before the connection is free.
    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        super()._do_return_conn(record)
        self._report()

    def _report(self) -> None:
        for observer in self._observers:
            observer(self)
