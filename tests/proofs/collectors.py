"""Servers that collect telemetry, in this process."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from zlib import MAX_WBITS, decompress

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS: dict[str, Any] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
}


class Collector:
    """What was sent to a server, and what it means."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[tuple[str, bytes]] = []

    def spans(self) -> list[dict[str, Any]]:
        """Return all spans, with their attributes as a dictionary."""
        return [
            {**span, "attributes": _attributes(span)}
            for message in self._messages("/v1/traces")
            for resource in message["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    def resource(self) -> dict[str, Any]:
        """Return the attributes of the process."""
        return _attributes(self._messages("/v1/traces")[0]["resourceSpans"][0]["resource"])

    def metrics(self) -> dict[str, list[dict[str, Any]]]:
        """Return the last data points of each metric, with their attributes as a dictionary."""
        return {
            metric["name"]: [
                {**point, "attributes": _attributes(point)}
                for kind in ("gauge", "sum", "histogram")
                for point in metric.get(kind, {}).get("dataPoints", [])
            ]
            for message in self._messages("/v1/metrics")
            for resource in message["resourceMetrics"]
            for scope in resource["scopeMetrics"]
            for metric in scope["metrics"]
        }

    def reports(self) -> list[dict[str, Any]]:
        """Return the events sent to Sentry."""
        return [
            json.loads(payload)
            for _, body in self.received
            for header, payload in _items(body)
            if header["type"] == "event"
        ]

    def _messages(self, path: str) -> list[dict[str, Any]]:
        return [
            MessageToDict(KINDS[path].FromString(body))
            for where, body in self.received
            if where == path
        ]


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return {
        each["key"]: next(iter(each["value"].values())) for each in holder.get("attributes", [])
    }


def _items(envelope: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield header and payload of each item: https://develop.sentry.dev/sdk/envelopes/."""
    lines = envelope.split(b"\n")[1:]
    for header, payload in zip(lines[::2], lines[1::2], strict=False):
        yield json.loads(header), payload


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a server that accepts everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = decompress(body, MAX_WBITS | 16)
            collector.received.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
