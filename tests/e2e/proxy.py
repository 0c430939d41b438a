"""Proxies on loopback that lead every name to one port: CONNECT and plain requests (RFC 9110 9.3.6), and SOCKS 5
with names (RFC 1928). What is asked of them is kept."""
import http.client
import http.server
import select
import socket
import socketserver
import struct
import threading

from front import Server


def tunnel(a, b):
    """Bytes both ways until one side ends."""
    while True:
        for ready in select.select([a, b], [], [])[0]:
            data = ready.recv(1 << 16)
            if not data:
                return
            (b if ready is a else a).sendall(data)


class ProxyHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def refused(self):
        proxy = self.server.proxy
        proxy.log.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        status = proxy.status
        if proxy.wants and self.headers.get("Proxy-Authorization") != proxy.wants:
            status = 407
        if status:
            self.send_response(status)
            self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        return status

    def do_CONNECT(self):
        if self.refused():
            return
        with socket.create_connection(("127.0.0.1", self.server.proxy.port_behind)) as behind:
            self.send_response(200)
            self.end_headers()
            tunnel(self.connection, behind)
        self.close_connection = True

    def pass_on(self):
        if self.refused():
            return
        behind = http.client.HTTPConnection("127.0.0.1", self.server.proxy.port_behind)
        path = "/" + self.path.split("/", 3)[3]
        behind.request(self.command, path, headers={k: v for k, v in self.headers.items() if k.lower() != "proxy-authorization"})
        answer = behind.getresponse()
        body = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = pass_on


class SocksHandler(socketserver.StreamRequestHandler):
    def handle(self):
        count = self.rfile.read(2)[1]
        self.rfile.read(count)
        self.connection.sendall(b"\x05\x00")
        _, command, _, kind = self.rfile.read(4)
        name = self.rfile.read(self.rfile.read(1)[0]).decode() if kind == 3 else f"address of kind {kind}"
        if kind != 3:
            self.rfile.read({1: 4, 4: 16}[kind])
        port, = struct.unpack(">H", self.rfile.read(2))
        self.server.proxy.log.append((command, f"{name}:{port}", {}))
        with socket.create_connection(("127.0.0.1", self.server.proxy.port_behind)) as behind:
            self.connection.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            tunnel(self.connection, behind)


class Proxy:
    """`wants`: the Proxy-Authorization that it insists on; `status`: refuses everything with it."""

    def __init__(self, port_behind, handler=ProxyHandler, wants=None, status=None):
        self.port_behind = port_behind
        self.wants = wants
        self.status = status
        self.log = []
        self.server = Server(("127.0.0.1", 0), handler)
        self.server.proxy = self
        self.host = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
