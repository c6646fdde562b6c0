"""PyPI's Authlib as an authorization server on loopback, behind Flask, with everything in memory.

    python authlib-server.py DIRECTORY

DIRECTORY: has rsa.pub and ec.pub (PEM); gets `ready`, a line of name and value for each thing to know, once all is
listening.
"""

import os
import sys
import time

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion, JWTBearerGrant
from flask import Flask
from joserfc import jwk
from werkzeug.serving import make_server

import api

DIRECTORY = sys.argv[1]
SECRET = "s3cret/+%: of sixty-four characters, so that HMAC may be made with it"
USER, PASSWORD = "somebody", "pass/+%: word"
tokens, refresh_tokens, used = {}, {}, set()


def key(name):
    with open(os.path.join(DIRECTORY, f"{name}.pub"), "rb") as file:
        return jwk.import_key(file.read(), {"rsa": "RSA", "ec": "EC"}[name])


class Client(ClientMixin):
    def __init__(self, name, method, *grant_types, secret=None, key=None):
        self.client_id, self.method, self.grant_types = name, method, grant_types
        self.secret, self.key = secret, key

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return " ".join(word for word in (scope or "orders").split() if word in ("orders", "offline_access"))

    def check_client_secret(self, client_secret):
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method, endpoint):
        return method == self.method

    def check_grant_type(self, grant_type):
        return grant_type in self.grant_types


BEARER = JWTBearerGrant.GRANT_TYPE
CLIENTS = {
    client.client_id: client
    for client in [
        Client("basic", "client_secret_basic", "client_credentials", "password", "refresh_token", secret=SECRET),
        Client("post", "client_secret_post", "client_credentials", "password", "refresh_token", secret=SECRET),
        Client("public", "none", "password", "refresh_token"),
        Client("rsa", "private_key_jwt", "client_credentials", BEARER, key=key("rsa")),
        Client("ec", "private_key_jwt", "client_credentials", BEARER, key=key("ec")),
    ]
}


class Token(TokenMixin):
    def __init__(self, client_id, user, token):
        self.client_id, self.user, self.token = client_id, user, token
        self.ends = time.time() + token["expires_in"]

    def check_client(self, client):
        return client.client_id == self.client_id

    def get_scope(self):
        return self.token.get("scope", "")

    def get_expires_in(self):
        return self.token["expires_in"]

    def is_expired(self):
        return time.time() > self.ends

    def is_revoked(self):
        return False


class Password(grants.ResourceOwnerPasswordCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]

    def authenticate_user(self, username, password):
        return username if (username, password) == (USER, PASSWORD) else None


class ClientCredentials(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]


class Refresh(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        return refresh_tokens.get(refresh_token)

    def authenticate_user(self, refresh_token):
        return refresh_token.user

    def revoke_old_credential(self, refresh_token):
        refresh_tokens.pop(refresh_token.token["refresh_token"])


class Bearer(JWTBearerGrant):
    def resolve_issuer_client(self, issuer):
        return CLIENTS.get(issuer)

    def resolve_client_public_key(self, client):
        return client.key

    def authenticate_user(self, subject):
        return subject if subject == USER else None

    def has_granted_permission(self, client, user):
        return True

    def get_audiences(self):
        return [TOKEN_URL]


class Assertion(JWTBearerClientAssertion):
    CLIENT_AUTH_METHOD = "private_key_jwt"

    def get_audiences(self):
        return [TOKEN_URL]

    def validate_jti(self, claims, jti):
        new = jti not in used
        used.add(jti)
        return new

    def resolve_client_public_key(self, client):
        return client.key


def save(token, request):
    kept = Token(request.client.client_id, request.user, token)
    tokens[token["access_token"]] = kept
    if "refresh_token" in token:
        refresh_tokens[token["refresh_token"]] = kept


def look_up(token):
    kept = tokens.get(token)
    return kept and not kept.is_expired() and {"client": kept.client_id, "user": kept.user, "scope": kept.get_scope()}


app = Flask(__name__)
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
authorization = AuthorizationServer(app, query_client=CLIENTS.get, save_token=save)
for grant in (Password, ClientCredentials, Refresh, Bearer):
    authorization.register_grant(grant)
authorization.register_client_auth_method(Assertion.CLIENT_AUTH_METHOD, Assertion())
app.route("/token", methods=["POST"])(authorization.create_token_response)

# Plain HTTP, on loopback alone, which Authlib otherwise refuses.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
server = make_server("127.0.0.1", 0, app, threaded=True)
TOKEN_URL = f"http://127.0.0.1:{server.server_port}/token"
api.ready(DIRECTORY, TOKEN_URL=TOKEN_URL, API=api.serve(look_up), SECRET=SECRET, USERNAME=USER, PASSWORD=PASSWORD)
server.serve_forever()
