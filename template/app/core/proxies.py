"""Requests that come through a proxy: who sent them, and to which address."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.settings import CoreSettings

HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?")
MAPPED = "::ffff:"
REWRITTEN = 0
"""Port of a client whose address the server has taken from `X-Forwarded-For`."""


class ProxyMiddleware:
    """Applies the `X-Forwarded-*` headers of trusted proxies, and the root path.

    uvicorn applies only `X-Forwarded-For` and `-Proto`, and knows only proxies in the
    environment, not those in `.env`.
    """

    def __init__(self, app: ASGIApp, settings: CoreSettings) -> None:
        # uvicorn is slow to import, and `import app.main` must stay fast.
        from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

        self.app = app
        self.proxied = ProxyHeadersMiddleware(
            self._with_root_path,  # type: ignore[arg-type]  # uvicorn has its own types
            list(settings.forwarded_allow_ips),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""
        if scope["type"] in {"http", "websocket"}:
            _unmap_client(scope)
            if self._is_from_proxy(scope):
                _use_forwarded_host(scope)
        await self.proxied(scope, receive, send)  # type: ignore[arg-type]

    def _is_from_proxy(self, scope: Scope) -> bool:
        host, port = scope.get("client") or (None, None)
        return port == REWRITTEN or host in self.proxied.trusted_hosts

    async def _with_root_path(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Complete the path, which redirects repeat; many proxies remove the root path."""
        root = scope.get("root_path", "")
        if scope["type"] in {"http", "websocket"} and root:
            path = scope["path"]
            if path != root and not path.startswith(f"{root}/"):
                scope["path"] = root + path
                scope["raw_path"] = root.encode() + scope.get("raw_path", path.encode())
        await self.app(scope, receive, send)


def _unmap_client(scope: Scope) -> None:
    """Write an IPv4 address as one; a socket for both versions has it mapped to IPv6."""
    host, port = scope.get("client") or (None, None)
    if host and host.startswith(MAPPED) and "." in host:
        scope["client"] = (host.removeprefix(MAPPED), port)


def _use_forwarded_host(scope: Scope) -> None:
    """Replace the host by that in the last `X-Forwarded-Host`, which the nearest proxy added."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-host")
    host = forwarded.rpartition(b",")[2].strip()
    if HOST.fullmatch(host):
        scope["headers"] = [header for header in headers if header[0] != b"host"]
        scope["headers"].append((b"host", host))
