"""The route of a request."""

from typing import Any

from starlette.types import Scope


def route_of(scope: Scope) -> Any:
    """Return the route of a request, with the prefix and dependencies of `include_router`."""
    # FastAPI has no public API for what `include_router` adds.
    context = scope.get("fastapi", {}).get("effective_route_context")
    return getattr(context, "starlette_route", None) or context or scope.get("route")
