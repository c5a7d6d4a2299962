"""A proxy before S3 that loses, cuts, delays and spoils requests, as networks and services do.

A fault strikes by chance, by `Options.faults`. What strikes a request depends on the seed, the request and how often
the same request came before, so that a seed means the same faults however the threads take turns.

| fault | what the client meets |
| --- | --- |
| 500, 503 | InternalError, SlowDown; nothing was done |
| 409 | ConditionalRequestConflict for a conditional write; nothing was done |
| reset | the connection ends without an answer; nothing was done |
| hang | no answer and no end of the connection; nothing was done |
| lost | the connection ends without an answer; the request was carried out |
| delay | an answer that comes late |
| cut | a body that ends before its Content-Length |
| short | a body with fewer bytes than asked for, and a Content-Length that agrees with it |
| flip | an object's body with one bit changed |
"""

import contextlib
import http.client
import itertools
import re
import select
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from options import Options
from request_body import read_body

REFUSALS = {
    "500": (500, "InternalError", "We encountered an internal error. Please try again."),
    "503": (503, "SlowDown", "Please reduce your request rate."),
    "409": (
        409,
        "ConditionalRequestConflict",
        "The conditional request cannot succeed due to a conflicting operation against this resource.",
    ),
}
# They belong to one connection, of which there are two here.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}


class FaultProxy:
    """Listens on a port of its own from its first use on."""

    def __init__(self, target: str, options: Options):
        self.target = target
        self.options = options
        self.lock = threading.Lock()
        self.server: ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        with self.lock:
            if self.server is None:
                self.server = Server(("127.0.0.1", 0), handler(urlsplit(self.target).netloc, self.options))
                threading.Thread(target=self.server.serve_forever, daemon=True).start()
            return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        with self.lock:
            if self.server is not None:
                self.server.shutdown()
                self.server.server_close()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # Not five: all functions connect at once.
    request_queue_size = 128

    def handle_error(self, *_) -> None:
        """A client that went away is what a proxy for faults expects."""


class Dropped(Exception):
    """The client gets no (further) answer."""


def handler(target: str, options: Options) -> type[BaseHTTPRequestHandler]:
    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            try:
                self.serve()
            except Dropped:
                self.close_connection = True
                # With this, closing sends a reset at once, as a broken connection does, rather than an orderly end.
                with contextlib.suppress(OSError):
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

        def serve(self) -> None:
            body = read_body(self)
            fault, chance = self.drawn()
            if fault in REFUSALS:
                return self.refuse(fault)
            if fault == "reset":
                options.count(fault)
                raise Dropped
            if fault == "hang":
                options.count(fault)
                # Readable means that the client has given up and closed.
                select.select([self.connection], [], [], options.hang_seconds)
                raise Dropped
            if fault == "delay":
                options.count(fault)
                time.sleep(options.delay_seconds)

            upstream = http.client.HTTPConnection(target, timeout=60)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            with contextlib.closing(upstream):
                answer = upstream.getresponse()
                contents = answer.read()
            if fault == "lost":
                options.count(fault)
                raise Dropped

            length = int(answer.headers.get("Content-Length", 0)) if self.command == "HEAD" else len(contents)
            if fault in ("cut", "short", "flip") and self.command == "GET" and answer.status < 300 and contents:
                options.count(fault)
                at = chance.randrange(len(contents))
                if fault == "flip":
                    changed = contents[at] ^ 1 << chance.randrange(8)
                    contents = contents[:at] + bytes([changed]) + contents[at + 1 :]
                else:
                    contents = contents[:at]
                    length = len(contents) if fault == "short" else length
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(contents)
            if len(contents) < length and self.command != "HEAD":
                # Time for what was sent to arrive, which a reset would overtake.
                time.sleep(0.05)
                raise Dropped

        def drawn(self):
            """The fault that strikes this request, or None, and a source of chance for its details."""
            faults = dict(options.faults)
            if not faults:
                return None, None
            # An upload has another number each time.
            path = re.sub("uploadId=[^&]*", "uploadId", self.path)
            chance = options.draw(f"{self.command} {path} {self.headers.get('Range', '')}")
            at = chance.random()
            ends = zip(faults, itertools.accumulate(faults.values()), strict=True)
            fault = next((fault for fault, end in ends if at < end), None)
            return (fault, chance) if self.can_strike(fault) else (None, None)

        def can_strike(self, fault: str | None) -> bool:
            if fault == "409":
                return self.command in ("PUT", "POST") and not {"if-match", "if-none-match"}.isdisjoint(
                    name.lower() for name in self.headers
                )
            if fault == "flip":
                # A list of objects is not a body that anybody keeps a checksum of.
                return self.command == "GET" and "list-type=" not in self.path
            return fault is not None

        def refuse(self, fault: str) -> None:
            options.count(fault)
            status, code, message = REFUSALS[fault]
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        def log_message(self, *_) -> None:
            pass

    return Proxy
