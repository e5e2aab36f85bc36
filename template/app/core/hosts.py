"""Host names that the service answers to."""

import re

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core import health
from app.core.errors import refuse
from app.core.settings import CoreSettings

PORT = re.compile(r":\d*$")


class AllowedHostsMiddleware:
    """Rejects requests to other hosts with status 400.

    Probes are exempt, because they are sent to the address of a container or machine.
    """

    def __init__(self, app: ASGIApp, settings: CoreSettings) -> None:
        self.app = app
        names = settings.allowed_hosts
        self.names = {name for name in names if not name.startswith("*")}
        self.domains = tuple(name.removeprefix("*") for name in names if name.startswith("*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""
        if scope["type"] in {"http", "websocket"} and not self._is_allowed(scope):
            error = HTTPException(400, "The service does not answer to this host.")
            await refuse(scope, receive, send, error)
            return
        await self.app(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        if scope["path"].removeprefix(scope.get("root_path", "")) in health.PATHS:
            return True
        hosts = Headers(scope=scope).getlist("Host")
        if len(hosts) != 1:  # https://www.rfc-editor.org/rfc/rfc9112#section-3.2-5
            return False
        host = PORT.sub("", hosts[0]).lower()
        return host in self.names or host.endswith(self.domains)
