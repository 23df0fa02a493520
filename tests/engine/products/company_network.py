"""A company's network: a directory over TLS that wants a login, and a proxy that wants one.

Words: the directory, the certificate, its key, the login of the site, that of the proxy. Prints
the ports of both, a line on stderr for each connection that went through the proxy, and ends
with its input."""

import base64
import functools
import http.server
import os
import socket
import ssl
import sys
import threading

directory, certificate, key, site_login, proxy_login = sys.argv[1:]


def basic(login):
    return "Basic " + base64.b64encode(login.encode()).decode()


def pass_on(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # The other side is gone.
        pass


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def refuse(self, code, header):
        self.send_response(code)
        self.send_header(header, 'Basic realm="company"')
        self.send_header("Content-Length", "0")
        self.end_headers()


class Site(Quiet):
    def send_head(self):
        if self.headers.get("Authorization") == basic(site_login):
            return super().send_head()
        self.refuse(401, "WWW-Authenticate")


class Proxy(Quiet):
    def do_CONNECT(self):
        if self.headers.get("Proxy-Authorization") != basic(proxy_login):
            return self.refuse(407, "Proxy-Authenticate")
        host, port = self.path.rsplit(":", 1)
        there = socket.create_connection((host.strip("[]"), int(port)))
        print("through the proxy", file=sys.stderr, flush=True)
        self.send_response(200)
        self.end_headers()
        words = (there, self.connection)
        back = threading.Thread(target=pass_on, args=words, daemon=True)
        back.start()
        pass_on(self.connection, there)
        back.join()
        self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        # A client that does not trust the certificate breaks off.
        pass


def serve(handler, tls=None):
    server = Server(("0.0.0.0", 0), handler)
    if tls:
        # Each connection shakes hands in its own thread.
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(certificate, key)
site = serve(functools.partial(Site, directory=directory), tls)
print(site, serve(Proxy), flush=True)
sys.stdin.read()
os._exit(0)
