"""The key manager, through which users create and delete their keys of the object store.

Paths, statuses and JSON are those of CDSE's, version 1.8. The limit of key pairs is a guess.
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from sandbox.response import Response
from sandbox.sigv4 import Key
from sandbox.tokens import Issuer, TokenError

KEYS_PATH = "/api/user/credentials"
DEFAULT_LIFE = timedelta(days=365)


class KeyManager:
    """Responds to requests to the key manager.

    Attributes:
        limit: Maximum number of key pairs of a user.
    """

    def __init__(self, issuer: Issuer, keys: dict[str, Key]) -> None:
        self.limit = 10
        self._issuer = issuer
        self._keys = keys

    def respond(
        self, path: str, request: web.BaseRequest, body: bytes, token: str | None
    ) -> Response:
        """Return the response to a request with this token."""
        try:
            user = self._issuer.check(token)
        except TokenError as error:
            return Response.json({"detail": str(error)}, 401)
        own = [key for key in self._keys.values() if key.user == user and not key.is_expired]
        if path == KEYS_PATH and request.method == "GET":
            pairs = [
                {"access_id": key.access, "user_name": user, "organization": None}
                | {"expiration_date": _format(key.expires)}
                for key in own
            ]
            return Response.json(
                {"credentials": pairs, "count": len(pairs), "offset": 0, "limit": 100}
            )
        if path == KEYS_PATH and request.method == "POST":
            if len(own) >= self.limit:
                return Response.json({"detail": "Max number of credentials reached."}, 403)
            return self._create(user, body)
        access = path.removeprefix(f"{KEYS_PATH}/access_id/")
        if request.method == "DELETE" and access in {key.access for key in own}:
            del self._keys[access]
            return Response(204)
        return Response.json({"detail": "Not Found"}, 404)

    def _create(self, user: str, body: bytes) -> Response:
        expires = datetime.now(UTC) + DEFAULT_LIFE
        try:
            content: Any = json.loads(body or b"{}")
            if date := content.get("expiration_date"):
                expires = datetime.fromisoformat(date)
        except (ValueError, TypeError, AttributeError):
            return Response.json({"detail": [{"loc": ["body"], "msg": "Input is invalid"}]}, 422)
        key = Key(secrets.token_hex(10).upper(), secrets.token_hex(20), user=user, expires=expires)
        self._keys[key.access] = key
        return Response.json(
            {"access_id": key.access, "secret": key.secret, "expiration_date": _format(expires)}
        )


def _format(date: datetime | None) -> str | None:
    return None if date is None else f"{date:%Y-%m-%dT%H:%M:%SZ}"
