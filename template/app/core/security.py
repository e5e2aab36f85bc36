"""Headers that tell browsers what a response must not be used for."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.settings import CoreSettings

NOT_FRAMED = "frame-ancestors 'none'"
NOTHING_LOADED = f"default-src 'none'; {NOT_FRAMED}"

PAGES = ("text/html", "text/javascript", "application/javascript")
"""Media types of pages and of scripts, which can be web workers."""


class SecurityHeadersMiddleware:
    """Adds the headers that a response does not set itself."""

    def __init__(self, app: ASGIApp, settings: CoreSettings) -> None:
        self.app = app
        self.hsts = f"max-age={settings.hsts_max_age}" if settings.hsts_max_age else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if message["status"] != 304:  # its headers replace those of the cached response
                    # Only the service knows what its pages load.
                    is_page = headers.get("Content-Type", "").startswith(PAGES)
                    policy = NOT_FRAMED if is_page else NOTHING_LOADED
                    headers.setdefault("Content-Security-Policy", policy)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
                if self.hsts and scope.get("scheme") == "https":
                    headers.setdefault("Strict-Transport-Security", self.hsts)
            await send(message)

        await self.app(scope, receive, send_with_headers)
