"""Serves the service in production."""

from importlib import import_module

import uvicorn

from app.core.settings import CoreSettings

APPLICATION = "app.asgi"


def serve(host: str, port: int, workers: int) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        SystemExit: the service cannot be started.
    """
    settings = CoreSettings.load()
    # Reports what is wrong once. uvicorn would restart workers that cannot start forever.
    import_module(APPLICATION)
    # A context of this process alone, such as a server for metrics, belongs around this call.
    uvicorn.run(
        f"{APPLICATION}:app",
        host=host,
        port=port,
        workers=workers,
        log_config=None,  # the command has configured it
        access_log=False,
        server_header=False,
        proxy_headers=False,  # ProxyMiddleware applies them
        timeout_keep_alive=settings.keep_alive_timeout,
        timeout_worker_healthcheck=60,  # workers that still import would be killed
    )
