"""Finds the routes of an application that anybody can use."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from app.core.auth import current_user


def unprotected(app: FastAPI) -> set[str]:
    """Return the routes that do not require a user, such as `GET /notes`.

    What cannot be examined is among them: mounts, front ends, and routes without dependencies.
    The routes of `app.core` are not, because the template tests them.
    """
    return {*_routes(app), *_front_ends(app)}


def _routes(app: FastAPI) -> Iterator[str]:
    for route in iter_route_contexts(app.router.routes):
        of_core = getattr(route.endpoint, "__module__", "").startswith("app.core.")
        dependant = getattr(route, "dependant", None)
        if of_core or (dependant and _requires_user(dependant)):
            continue
        kinds = (route.methods or {type(route.original_route).__name__}) - {"HEAD"}
        yield from (f"{kind} {route.path}" for kind in kinds)


def _front_ends(app: FastAPI) -> Iterator[str]:
    # FastAPI has no public API for the routes of `app.frontend()`.
    contexts: list[Any] = list(app.router._low_priority_routes)
    for route in app.router.routes:
        contexts += getattr(route, "effective_low_priority_routes", list)()
    for context in contexts:
        if not _requires_user(context.dependant):
            group = getattr(context, "original_route", context)
            prefix = getattr(context, "frontend_prefix", "")
            yield from (f"front end {prefix}{each.path}" for each in group.routes)


def _requires_user(dependant: Dependant) -> bool:
    return dependant.call is current_user or any(map(_requires_user, dependant.dependencies))
