"""Answers GET / with what it runs in, and GET /health with ok."""

import json
import os
import signal
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/health":
            self.answer(200, "text/plain", "ok\n")
        elif self.path == "/":
            about = {
                "prefix": sys.prefix,
                "source": os.path.dirname(os.path.abspath(__file__)),
                "environment": os.environ.get("PIXI_ENVIRONMENT_NAME"),
                "user": os.getuid(),
                "process": os.getpid(),
            }
            self.answer(200, "application/json", json.dumps(about) + "\n")
        else:
            self.answer(404, "text/plain", "there is nothing here\n")

    def answer(self, status, kind, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class QuietService(Service):
    def log_message(self, *words):
        pass


def self_test():
    server = ThreadingHTTPServer(("127.0.0.1", 0), QuietService)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/health"
    # No proxy for the loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    print("self-test:", opener.open(address, timeout=10).read().decode().strip())


def stop(number, frame):
    # The first process of a container is not ended by a signal that it does not handle.
    sys.exit(0)


def serve():
    signal.signal(signal.SIGTERM, stop)
    port = int(os.environ.get("PORT", "8000"))
    server = ThreadingHTTPServer(("", port), Service)
    server.daemon_threads = True
    print(f"listening on port {port}", flush=True)
    server.serve_forever()


if sys.argv[1:] == ["--self-test"]:
    self_test()
else:
    serve()
