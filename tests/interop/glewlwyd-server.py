"""Debian's glewlwyd on loopback, with a database and a configuration of its own.

    python glewlwyd-server.py DIRECTORY

DIRECTORY: has ec.pub (PEM) and rsa.key; gets `ready`, a line of name and value for each thing to know, once all is
listening. Ends glewlwyd when it is ended itself.
"""

import gzip
import http.cookiejar
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import api

DIRECTORY = sys.argv[1]
SCHEMES = [
    "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3",
    "/usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz",
]
SECRET = "s3cret/+%: of some length"
USER, PASSWORD = "somebody", "pass/+%: word"


def path(name):
    return os.path.join(DIRECTORY, name)


def read(name):
    with open(path(name), encoding="utf-8") as file:
        return file.read()


def database():
    scheme = next(place for place in SCHEMES if os.path.exists(place))
    opened = gzip.open(scheme, "rt") if scheme.endswith(".gz") else open(scheme, encoding="utf-8")
    with opened as file, sqlite3.connect(path("glewlwyd.db")) as connection:
        connection.executescript(file.read())


def configuration(port):
    with open(path("glewlwyd.conf"), "w", encoding="utf-8") as file:
        file.write(f"""
port={port}
bind_address="127.0.0.1"
external_url="http://127.0.0.1:{port}"
login_url="login.html"
api_prefix="api"
log_mode="console"
log_level="WARNING"
cookie_secure=0
session_expiration=3600
session_key="GLEWLWYD2_SESSION_ID"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="/usr/lib/glewlwyd/user"
client_module_path="/usr/lib/glewlwyd/client"
user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
plugin_module_path="/usr/lib/glewlwyd/plugin"
use_secure_connection=false
secure_connection_key_file=""
secure_connection_pem_file=""
secure_connection_ca_file=""
hash_algorithm="SHA512"
database = {{ type = "sqlite3"; path = "{path('glewlwyd.db')}"; }};
""")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


PORT = free_port()
BASE = f"http://127.0.0.1:{PORT}/api"
people = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))


def call(method, place, body):
    data = json.dumps(body).encode()
    request = urllib.request.Request(BASE + place, data, {"content-type": "application/json"}, method=method)
    try:
        with people.open(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{method} {place}: {error.code} {error.read().decode()}") from error


def set_up():
    call("POST", "/auth/", {"username": "admin", "password": "password"})
    for scope in ("orders", "offline_access"):
        call("POST", "/scope/", {"name": scope, "display_name": scope, "password_required": False})
    call("POST", "/mod/plugin/", {
        "module": "oidc",
        "name": "oidc",
        "display_name": "interop",
        "parameters": {
            "iss": f"http://127.0.0.1:{PORT}/api/oidc",
            "jwt-type": "rsa",
            "jwt-key-size": "256",
            "key": read("rsa.key"),
            "cert": read("rsa.pub"),
            "access-token-duration": 600,
            "refresh-token-duration": 3600,
            "code-duration": 60,
            "refresh-token-rolling": True,
            "refresh-token-one-use": "always",
            "allow-non-oidc": True,
            "auth-type-code-enabled": False,
            "auth-type-token-enabled": False,
            "auth-type-id-token-enabled": True,
            "auth-type-implicit-enabled": False,
            "auth-type-password-enabled": True,
            "auth-type-client-enabled": True,
            "auth-type-refresh-enabled": True,
            "introspection-revocation-allowed": True,
            "introspection-revocation-allow-target-client": True,
            "request-parameter-allow": True,
            "request-maximum-exp": 3600,
            "client-pubkey-parameter": "pubkey",
            "client-jwks-parameter": "jwks",
            "client-jwks_uri-parameter": "jwks_uri",
        },
    })
    call("POST", "/user/", {
        "username": USER, "password": PASSWORD, "name": USER, "email": "", "enabled": True,
        "scope": ["orders", "offline_access", "openid"],
    })
    for name, method, more in [
        ("basic", "client_secret_basic", {"confidential": True, "client_secret": SECRET}),
        ("post", "client_secret_post", {"confidential": True, "client_secret": SECRET}),
        ("key", "private_key_jwt", {"confidential": True, "pubkey": read("ec.pub"), "client_secret": SECRET}),
    ]:
        call("POST", "/client/", {
            "client_id": name, "name": name, "enabled": True, "redirect_uri": ["http://127.0.0.1/"],
            "authorization_type": ["client_credentials", "password", "refresh_token"],
            "token_endpoint_auth_method": [method], "scope": ["orders", "offline_access"],
        } | more)


def look_up(token):
    form = urllib.parse.urlencode({"token": token, "client_id": "post", "client_secret": SECRET}).encode()
    try:
        with urllib.request.urlopen(f"{BASE}/oidc/introspect", form, timeout=10) as answer:
            said = json.load(answer)
    except urllib.error.HTTPError:
        return None
    if not said.get("active"):
        return None
    return {"client": said.get("client_id"), "user": said.get("username"), "scope": said.get("scope")}


database()
configuration(PORT)
with subprocess.Popen(["glewlwyd", f"--config-file={path('glewlwyd.conf')}"]) as process:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", PORT), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        set_up()
        issuer = f"http://127.0.0.1:{PORT}/api/oidc"
        api.ready(
            DIRECTORY, ISSUER=issuer, TOKEN_URL=f"{BASE}/oidc/token", API=api.serve(look_up), SECRET=SECRET,
            USERNAME=USER, PASSWORD=PASSWORD,
        )
        process.wait()
    finally:
        process.terminate()
