"""Serves the service in production."""

from contextlib import suppress
from functools import partial
from importlib import import_module

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from app.core import telemetry
from app.core.connections import LimitedProtocol
from app.core.settings import CoreSettings

APPLICATION = "app.asgi"


def serve(host: str, port: int, workers: int) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        SystemExit: the service cannot be started, or a worker could not.
    """
    settings = CoreSettings.load()
    if settings.metrics_port == port:
        raise SystemExit(f"METRICS_PORT is {port}, where the service itself listens: use another.")
    # Reports what is wrong once. uvicorn would restart workers that cannot start forever.
    import_module(APPLICATION)
    config = uvicorn.Config(
        f"{APPLICATION}:app",
        host=host,
        port=port,
        workers=workers,
        log_config=None,  # the command has configured it
        access_log=False,
        server_header=False,
        proxy_headers=False,  # ProxyMiddleware applies them
        http=partial(  # type: ignore[arg-type]
            LimitedProtocol,
            max_size=4 * settings.max_header_size,
            timeout=settings.body_timeout,
        ),
        timeout_keep_alive=settings.keep_alive_timeout,
        timeout_worker_healthcheck=60,  # workers that still import would be killed
    )
    with telemetry.serving_metrics(settings, host, workers):
        _run(config)


def _run(config: uvicorn.Config) -> None:
    """Serve; unlike `uvicorn.run`, fail if a worker cannot start."""
    if config.workers == 1:
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run()
        return
    supervisor = Multiprocess(config, [config.bind_socket()])
    supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise SystemExit(STARTUP_FAILURE)
