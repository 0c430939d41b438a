"""A front for a registry: passes requests on, counts what goes through it, and can be told to slow
down, cut off, redirect, mistreat or answer by itself. What the tests believe about traffic comes from here."""
import http.client
import http.server
import socket
import socketserver
import ssl
import threading
import time


class Request:
    """One request that came by, as the log keeps it."""

    def __init__(self, handler):
        self.method = handler.command
        self.path = handler.path
        self.headers = {k.lower(): v for k, v in handler.headers.items()}
        self.status = None
        self.received = 0  # body bytes from the client
        self.sent = 0      # body bytes to the client

    def __repr__(self):
        return f"{self.method} {self.path} {self.status} {self.headers.get('range', '')}"


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # clients that are killed hang up


class Server6(Server):
    address_family = socket.AF_INET6


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        self.protocol_version = self.server.front.version
        self.server.front.connections += 1
        self.upstream = None

    def finish(self):
        if self.upstream:
            self.upstream.close()
        super().finish()

    def reply(self, status, headers=None, body=b""):
        request = self.request_seen
        request.status = status
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            request.sent += len(body)

    def body(self):
        size = int(self.headers.get("Content-Length") or 0)
        data = b""
        while len(data) < size:
            part = self.rfile.read(min(1 << 20, size - len(data)))
            if not part:
                break
            data += part
            self.request_seen.received += len(part)
        return data

    def pass_on(self):
        front = self.server.front
        if self.upstream is None:
            self.upstream = http.client.HTTPConnection("127.0.0.1", front.upstream_port)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("connection", "expect")}
        if front.tls:
            headers["X-Forwarded-Proto"] = "https"
        self.upstream.request(self.command, self.path, self.body(), headers)
        answer = self.upstream.getresponse()
        self.request_seen.status = answer.status
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        chunked = answer.getheader("Content-Length") is None and self.command != "HEAD"
        if chunked:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.copy(answer)

    def copy(self, answer):
        front = self.server.front
        is_blob = "/blobs/" in self.path and self.command == "GET"
        while True:
            part = answer.read(1 << 16)
            if not part:
                return
            if is_blob and front.cut_after is not None and self.request_seen.sent + len(part) > front.cut_after:
                part = part[:front.cut_after - self.request_seen.sent]
                self.wfile.write(part)
                self.request_seen.sent += len(part)
                self.close_connection = True
                self.connection.close()
                return
            self.wfile.write(part)
            self.request_seen.sent += len(part)
            if is_blob and front.rate:
                time.sleep(len(part) / front.rate)

    def serve(self):
        self.request_seen = Request(self)
        front = self.server.front
        is_blob = self.command in ("GET", "PUT", "PATCH") and "/blobs/" in self.path
        with front.lock:
            front.log.append(self.request_seen)
            front.busy += 1
            front.busy_blobs += is_blob
            front.peak = max(front.peak, front.busy)
            front.peak_blobs = max(front.peak_blobs, front.busy_blobs)
        try:
            if front.delay:
                time.sleep(front.delay)
            if not front.hook or not front.hook(self):
                self.pass_on()
        finally:
            with front.lock:
                front.busy -= 1
                front.busy_blobs -= is_blob

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve


class Front:
    """On a port of its own. `hook(handler)` sees every request first; true: it has answered. `rate` (bytes a
    second) and `cut_after` (bytes) are for blobs; `delay` (seconds) for every answer. `tls`: certificate and key,
    `client_ca`: who signs those of clients. `peak` and `peak_blobs`: how many requests it had at once."""

    def __init__(self, upstream_port, hook=None, tls=None, client_ca=None, address="127.0.0.1"):
        self.upstream_port = upstream_port
        self.version = "HTTP/1.1"
        self.busy = self.busy_blobs = self.peak = self.peak_blobs = 0
        self.hook = hook
        self.rate = None
        self.cut_after = None
        self.delay = None
        self.log = []
        self.connections = 0
        self.lock = threading.Lock()
        self.tls = tls
        self.server = (Server6 if ":" in address else Server)((address, 0), Handler)
        self.server.front = self
        self.port = self.server.server_address[1]
        self.host = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            if client_ca:
                context.load_verify_locations(client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def clear(self):
        with self.lock:
            self.log.clear()

    def requests(self, method=None, part=""):
        with self.lock:
            return [r for r in self.log if (method is None or r.method == method) and part in r.path]

    def blob_bytes(self):
        """Body bytes of blobs sent to clients so far."""
        return sum(r.sent for r in self.requests("GET", "/blobs/"))
