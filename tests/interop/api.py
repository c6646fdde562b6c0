"""An API that takes the tokens of one authorization server alone; for the servers that are started from Python.

It says whose token it was and its number; a POST to /revoke makes all tokens void.
"""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve(look_up):
    """Starts it; `look_up` says of a token what is known of it, or nothing. Returns its URL."""
    numbers, revoked = {}, set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, status, body, **fields):
            body = (json.dumps(body) + "\n").encode()
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            revoked.update(numbers)
            self.answer(200, {"revoked": len(revoked)})

        def do_GET(self):
            scheme, _, token = self.headers.get("authorization", "").partition(" ")
            known = look_up(token) if scheme == "Bearer" and token not in revoked else None
            if not known:
                return self.answer(401, {"error": "invalid_token"}, www_authenticate='Bearer error="invalid_token"')
            numbers.setdefault(token, len(numbers) + 1)
            self.answer(200, known | {"token": numbers[token]})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def ready(directory, **known):
    """Tells that all is listening, and what there is to know."""
    path = os.path.join(directory, "ready")
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.writelines(f"{name} {value}\n" for name, value in known.items())
    os.rename(path + ".new", path)
