"""A small web server for one scene, reachable from this computer only.

It answers from a fixed table (`Site`) under a random prefix: there are no folders to list and no paths to climb. Only
requests that name this server as their host are answered, so that no page from elsewhere can reach in by a name that it
points here.
"""

import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from socket import socket
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from lyra.io.files import reason
from lyra.structures import InputError
from lyra.viewer.site import Resource, Site

HOST = "127.0.0.1"
_CHUNK = 1 << 18
_IDLE_SECONDS = 30


class SceneServer(ThreadingHTTPServer):
    """Serves one site; ``serve_forever`` answers until ``shutdown`` or an exception.

    Args:
        site: what to hand out.
        port: TCP port on the loopback address, 0 for a free one.

    Raises:
        InputError: the port is taken, not permitted or not a port.
    """

    daemon_threads = True

    def __init__(self, site: Site, port: int = 0) -> None:
        if not 0 <= port <= 65535:
            raise InputError(f"port {port} is outside 0…65535; choose another, or none for a free one")
        self.token = secrets.token_urlsafe(16)
        self.prefix = f"/{self.token}/"
        self.site = site
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as fault:
            raise InputError(
                f"port {port} cannot be used ({reason(fault)}); choose another with --port, or none for a free one"
            ) from fault

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}{self.prefix}"

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """A visitor that went away is no fault; anything else is told as usual."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: SceneServer
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server_version, sys_version = "lyra", ""

    def do_GET(self) -> None:
        resource = self._resource()
        if resource is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        try:
            with _opened(resource) as (stream, size):
                self._answer(resource.kind, stream, size)
        except FileNotFoundError:
            self._refuse(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET

    def _not_allowed(self) -> None:
        self.close_connection = True  # a body may follow that nobody reads
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED)

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _not_allowed

    def log_message(self, format: str, *args: Any) -> None:
        """The terminal stays quiet."""

    def version_string(self) -> str:
        return self.server_version

    def _resource(self) -> Resource | None:
        if self.headers.get("Host") not in {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}:
            return None
        path = urlsplit(self.path).path
        prefix = self.server.prefix
        if not secrets.compare_digest(path[: len(prefix)].encode(), prefix.encode()):
            return None
        return self.server.site.resources.get(path[len(prefix) :])

    def _answer(self, kind: str, stream: BinaryIO, size: int) -> None:
        # Nothing here can be checked for being unchanged, so a conditional range gets the whole.
        wanted = None if "If-Range" in self.headers else self.headers.get("Range")
        part = _range(wanted, size) if wanted else None
        if part is not None and part[0] >= part[1]:
            beyond = {"Content-Range": f"bytes */{size}"}
            self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "text/plain", 0, beyond)
            return
        start, end = part or (0, size)
        extra = {"Content-Range": f"bytes {start}-{end - 1}/{size}"} if part else {}
        self._head(HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK, kind, end - start, extra)
        if self.command == "HEAD":
            return
        stream.seek(start)
        left = end - start
        while left and (chunk := stream.read(min(_CHUNK, left))):
            self.wfile.write(chunk)
            left -= len(chunk)
        if left:  # the file shrank: the promised length cannot be kept
            self.close_connection = True

    def _refuse(self, status: HTTPStatus) -> None:
        body = f"{status.phrase}\n".encode()
        extra = {"Allow": "GET, HEAD"} if status is HTTPStatus.METHOD_NOT_ALLOWED else {}
        self._head(status, "text/plain; charset=utf-8", len(body), extra)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str, length: int, extra: dict[str, str]) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(length),
            "Accept-Ranges": "bytes",
            "Cache-Control": "no-store",
            "Content-Security-Policy": self.server.site.policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
        }
        for name, value in {**headers, **extra}.items():
            self.send_header(name, value)
        self.end_headers()


def _range(header: str, size: int) -> tuple[int, int] | None:
    """First and end byte of one range; ``None`` for what is no range or several, which may be answered in full."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        return max(0, size - int(match[2])), size
    start = int(match[1])
    if match[2] and int(match[2]) < start:
        return None
    return start, min(size, int(match[2]) + 1) if match[2] else size


@contextmanager
def _opened(resource: Resource) -> Iterator[tuple[BinaryIO, int]]:
    """The content and its size; a file that has become a link or something else since the start is not found."""
    if isinstance(resource.body, bytes):
        yield BytesIO(resource.body), len(resource.body)
        return
    try:
        number = os.open(resource.body, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except OSError as fault:
        raise FileNotFoundError from fault
    with os.fdopen(number, "rb") as stream:
        state = os.fstat(number)
        if not stat.S_ISREG(state.st_mode):
            raise FileNotFoundError
        yield stream, state.st_size
