"""Serves the status page with whatever report a test gives it: the routes of the daemon, the standard library alone."""

from __future__ import annotations

import http.server
import json
import mimetypes
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

Json = dict[str, Any]

PAGE = files("bridge") / "page"
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
POLL_S = 0.1


class PageServer:
    """What is served can be changed at any time: `report`, `token`; `push` sends a message to all who look."""

    def __init__(self, report: Json, token: str = "") -> None:
        self.report = report
        self.token = token
        self.requests: list[str] = []
        self.port = 0
        self._clients: list[queue.Queue[bytes]] = []
        self._lock = threading.Lock()
        self._server: http.server.ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The page."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def watching(self) -> int:
        """How many connections are open for events."""
        with self._lock:
            return len(self._clients)

    def push(self, kind: str, data: object) -> None:
        """Send one message to everybody who looks."""
        self.push_raw(message(kind, data))

    def push_raw(self, data: bytes) -> None:
        """Send these bytes."""
        with self._lock:
            for client in self._clients:
                client.put(data)

    def start(self) -> None:
        """Listen: on a free port, or on the one from before."""
        outer = self

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = True
            allow_reuse_address = True
            request_queue_size = 128

        class Handler(_Handler):
            page = outer

        self._server = Server(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = False
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S / 2,))
        self._thread.start()

    def stop(self) -> None:
        """Close everything, as a daemon that ends does."""
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        server.shutdown()
        self._thread.join()
        server.server_close()

    @property
    def running(self) -> bool:
        """Whether it is to go on."""
        return self._server is not None

    def join(self) -> queue.Queue[bytes]:
        """Somebody looks: gets the whole report first."""
        mine: queue.Queue[bytes] = queue.Queue()
        mine.put(b"retry: 300\n\n" + message("report", self.report))
        with self._lock:
            self._clients.append(mine)
        return mine

    def leave(self, mine: queue.Queue[bytes]) -> None:
        """Somebody looks no longer."""
        with self._lock:
            self._clients.remove(mine)


def message(kind: str, data: object) -> bytes:
    """One server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    page: PageServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.page.requests.append(f"{self.command} {path}")
        if path in ("/status.json", "/events") and not self._known():
            self._answer(HTTPStatus.UNAUTHORIZED, b"{}", "application/json")
        elif path == "/status.json":
            self._answer(HTTPStatus.OK, json.dumps(self.page.report).encode(), "application/json")
        elif path == "/events":
            self._events()
        else:
            self._file("index.html" if path == "/" else path.removeprefix("/assets/"))

    def do_POST(self) -> None:
        self.page.requests.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path == "/login" and parse_qs(body).get("token") == [self.page.token]:
            cookie = {"Set-Cookie": "bridged=known; HttpOnly; SameSite=Strict; Path=/"}
            self._answer(HTTPStatus.NO_CONTENT, b"", "text/plain", cookie)
        else:
            self._answer(HTTPStatus.UNAUTHORIZED, b"", "text/plain")

    def _known(self) -> bool:
        return not self.page.token or "bridged=known" in self.headers.get("Cookie", "")

    def _file(self, name: str) -> None:
        file = PAGE / name
        if "/" in name or not file.is_file():
            self._answer(HTTPStatus.NOT_FOUND, b"", "text/plain")
            return
        self._answer(HTTPStatus.OK, file.read_bytes(), mimetypes.guess_type(name)[0] or "text/plain")

    def _answer(self, status: HTTPStatus, body: bytes, content: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self._headers(content, more or {})
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _headers(self, content: str, more: dict[str, str]) -> None:
        usual = {
            "Content-Type": content,
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
        for name, value in {**usual, **more}.items():
            self.send_header(name, value)

    def _events(self) -> None:
        self.send_response(HTTPStatus.OK)
        self._headers("text/event-stream", {"Connection": "close"})
        self.end_headers()
        self.close_connection = True
        mine = self.page.join()
        with suppress(ConnectionError):
            while self.page.running:
                with suppress(queue.Empty):
                    self.wfile.write(mine.get(timeout=POLL_S))
                    self.wfile.flush()
        self.page.leave(mine)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def page_server(report: Json, token: str = "") -> Iterator[PageServer]:
    """A server that runs."""
    server = PageServer(report, token)
    server.start()
    try:
        yield server
    finally:
        server.stop()
