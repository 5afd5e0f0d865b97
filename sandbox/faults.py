"""Faults: what goes wrong in the sandbox, for which requests, and how often."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import shlex
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from fnmatch import fnmatchcase
from functools import partial
from http import HTTPStatus
from typing import Any

from sandbox import streams
from sandbox.body import CloseConnection, ResetConnection, chunks, size
from sandbox.response import Framing, Response, Transform
from sandbox.s3 import error
from sandbox.services import ROLES
from sandbox.streams import NAMED_POSITIONS, Position, offset

PAGE = b"""<!DOCTYPE html>
<html><head><title>Copernicus Data Space Ecosystem</title></head>
<body><h1>Scheduled maintenance</h1><p>The service will be back soon.</p></body></html>
"""


@dataclass(frozen=True)
class Fault:
    """A rule that describes what goes wrong, and for which requests.

    A position in a body is an int (bytes; negative: from the end), a float (a fraction from 0 to
    1) or one of "start", "middle", "last" (before the last byte).

    Attributes:
        on: Service that the rule applies to: catalogue, stac, download, identity, stranger, s3,
            or any (all except stranger).
        path: Glob that the decoded path with its query must match.
        times: Maximum number of requests that the rule affects; unlimited by default.
        after: Number of matching requests that pass before the rule applies.
        chance: Probability that a request is affected.
        status: Respond with this status.
        code: Code of the S3 error that is sent with the status, such as SignatureDoesNotMatch; by
            default, the usual one of the status.
        body: Respond with this body, and with status 200 unless a status is given.
        headers: Additional response headers.
        retry_after: Retry-After of the response: seconds, or any text; "date+5" becomes the date
            in 5 seconds.
        redirect: Respond with this Location, and with status 302 unless a status is given.
            "{path}" is replaced by the request's path and query, "{download}" by the origin of
            that service.
        html: Respond with status 200 and an HTML page.
        empty: Respond with status 200 and an empty body.
        reset: Reset the connection (RST) at this position; "start" is before the response begins.
        cut: Close the connection at this position.
        stall: Send nothing for this many seconds, or until the rule is removed.
        at: Position at which to stall; before the response begins by default.
        slow: Maximum bytes per second.
        whole: Respond to a request for a range with status 200 and the whole body.
        corrupt: Flip the bits of the byte at this position.
        long: Send this many additional bytes, then close the connection.
        gzip: Compress the body, with Content-Encoding.
        framing: What marks the end of the body: length (Content-Length), close (neither
            Content-Length nor chunks) or chunked.
    """

    on: str = "any"
    path: str = "*"
    times: int | None = None
    after: int = 0
    chance: float = 1.0
    status: int | None = None
    code: str | None = None
    body: bytes | str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | str | None = None
    redirect: str | None = None
    html: bool = False
    empty: bool = False
    reset: Position | None = None
    cut: Position | None = None
    stall: float | None = None
    at: Position | None = None
    slow: float | None = None
    whole: bool = False
    corrupt: Position | None = None
    long: int = 0
    gzip: bool = False
    framing: Framing | None = None

    def __post_init__(self) -> None:
        if self.on not in (*ROLES, "any"):
            raise ValueError(f"expected one of {', '.join(ROLES)} or any, found {self.on!r}")
        if not 0 <= self.chance <= 1:
            raise ValueError(f"expected a chance from 0 to 1, found {self.chance}")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Parse a rule such as ``status=503 on=download path=*B04.jp2* times=2``.

        Words are separated as in a shell. Each is ``field=value``; for html, empty, whole and gzip,
        the name suffices. Positions are written ``1000``, ``0.5``, ``50%`` or ``last``, chances
        ``0.02`` or ``2%``. ``header=Name:value`` may be repeated.

        Raises:
            ValueError: A word is malformed; the message contains it.
        """
        found: dict[str, Any] = {}
        headers: dict[str, str] = {}
        for word in shlex.split(text):
            name, _, value = word.partition("=")
            name = name.replace("-", "_")
            if name == "header":
                key, _, content = value.partition(":")
                headers[key.strip()] = content.strip()
                continue
            if name not in _READ:
                known = ", ".join([*_READ, "header"])
                raise ValueError(f"in fault {text!r}: expected one of {known}, found {name!r}")
            try:
                found[name] = _READ[name](value)
            except ValueError as error:
                raise ValueError(f"in fault {text!r}: {value!r} is not a valid {name}") from error
        return cls(**found, headers=headers)

    def matches(self, role: str, path: str) -> bool:
        """Tell whether the rule applies to a service and a path."""
        applies = role == self.on or (self.on == "any" and role != "stranger")
        return applies and fnmatchcase(path, self.path)

    @property
    def replaces(self) -> bool:
        """Whether the rule replaces the service's response, not only how it is sent."""
        return (
            self.reset == "start"
            or self.html
            or self.empty
            or any(x is not None for x in (self.status, self.body, self.redirect))
        )

    def response(self, role: str, variables: Mapping[str, str]) -> Response:
        """Return the response that replaces the service's.

        Args:
            role: The service.
            variables: Values that replace "{name}" in ``redirect``.
        """
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["Retry-After"] = _retry_after(self.retry_after)
        if self.redirect is not None:
            location = self.redirect
            for name, value in variables.items():
                location = location.replace(f"{{{name}}}", value)
            return Response(self.status or 302, {"Location": location} | headers)
        status = self.status or 200
        if self.html:
            return Response(status, {"Content-Type": "text/html; charset=utf-8"} | headers, (PAGE,))
        if self.empty:
            return Response(status, headers)
        if self.body is not None:
            body = self.body.encode() if isinstance(self.body, str) else self.body
            return Response(status, {"Content-Type": "application/octet-stream"} | headers, (body,))
        if role == "s3":
            return error(status, self.code, **headers)
        message = json.dumps({"message": _phrase(status)}).encode()
        return Response(status, {"Content-Type": "application/json"} | headers, (message,))

    async def encode(self, response: Response) -> Response:
        """Return the response with the rule's headers and compression."""
        headers = {**response.headers, **self.headers}
        if self.whole and response.whole is not None:
            del headers["Content-Range"]
            response = replace(response, status=200, body=response.whole, whole=None)
        if not self.gzip:
            return replace(response, headers=headers)
        whole = b"".join([chunk async for chunk in chunks(response.body)])
        packed = await asyncio.to_thread(gzip.compress, whole, 1, mtime=0)
        return replace(response, headers=headers | {"Content-Encoding": "gzip"}, body=(packed,))

    def transforms(self, response: Response, is_over: Callable[[], bool]) -> list[Transform]:
        """Return the changes that the rule makes to the body while it is sent.

        Args:
            response: The response.
            is_over: Tells whether the rule has been removed.
        """
        length = size(response.body)
        found: list[Transform] = []
        if self.corrupt is not None:
            found.append(partial(streams.corrupt, at=offset(self.corrupt, length)))
        if self.long:
            found.append(partial(streams.lengthen, extra=self.long))
        if self.slow is not None:
            found.append(partial(streams.throttle, rate=self.slow))
        if self.stall is not None and self.at is not None:
            at = offset(self.at, length)
            found.append(partial(streams.stall, at=at, seconds=self.stall, is_over=is_over))
        if self.cut is not None:
            at = offset(self.cut, length)
            found.append(partial(streams.break_off, at=at, how=CloseConnection))
        if self.reset is not None:
            at = offset(self.reset, length)
            found.append(partial(streams.break_off, at=at, how=ResetConnection))
        return found


class Rule:
    """An active fault with its counts.

    Whether a request is affected by chance depends on the seed, the request's path, and how often
    the path was requested. So the same seed affects the same requests again, regardless of other
    requests that arrive between them.

    Attributes:
        fault: The fault.
        seen: Number of requests that matched.
        used: Number of requests that were affected.
        removed: Set when it is no longer active.
    """

    def __init__(self, fault: Fault, seed: str = "") -> None:
        self.fault = fault
        self.seen = 0
        self.used = 0
        self.removed = threading.Event()
        self._seed = seed
        self._requests: Counter[str] = Counter()

    def affects(self, path: str) -> bool:
        """Count a matching request, and tell whether it is affected."""
        self.seen += 1
        if self.seen <= self.fault.after:
            return False
        if self.fault.times is not None and self.used >= self.fault.times:
            return False
        if self.fault.chance < 1 and self._draw(path) >= self.fault.chance:
            return False
        self.used += 1
        return True

    def _draw(self, path: str) -> float:
        self._requests[path] += 1
        return random.Random(f"{self._seed} {self._requests[path]} {path}").random()


class Faults:
    """The active rules, in the order in which they were added. They can be changed by any thread.

    If several rules replace the response, the first one that affects the request does; the others
    do not count the request. Rules that alter the body all apply, in order, to responses with a
    status below 400, including those of rules that replace the response.
    """

    def __init__(self, seed: int = 0) -> None:
        """Start without rules.

        Args:
            seed: Seed of the rules' chances; each rule combines it with its number.
        """
        self._rules: list[Rule] = []
        self._seed = seed
        self._added = 0
        self._lock = threading.Lock()

    @property
    def rules(self) -> list[Rule]:
        """The active rules, in the order in which they were added."""
        with self._lock:
            return list(self._rules)

    def add(self, fault: Fault | str) -> Rule:
        """Activate a fault, or a rule in text form."""
        fault = Fault.parse(fault) if isinstance(fault, str) else fault
        with self._lock:
            self._added += 1
            rule = Rule(fault, f"{self._seed} {self._added}")
            self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Deactivate a rule, if it is active; what it stalls goes on."""
        with self._lock:
            rule.removed.set()
            self._rules = [other for other in self._rules if other is not rule]

    def clear(self) -> None:
        """Deactivate all rules."""
        for rule in self.rules:
            self.remove(rule)

    def replacing(self, role: str, path: str) -> Rule | None:
        """Return the rule that replaces the response to a request, if there is one."""
        with self._lock:
            for rule in self._rules:
                fault = rule.fault
                if fault.replaces and fault.matches(role, path) and rule.affects(path):
                    return rule
        return None

    def altering(self, role: str, path: str) -> list[Rule]:
        """Return the rules that alter the response to a request."""
        with self._lock:
            return [
                rule
                for rule in self._rules
                if not rule.fault.replaces and rule.fault.matches(role, path) and rule.affects(path)
            ]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _retry_after(value: float | str) -> str:
    if isinstance(value, str) and value.startswith("date+"):
        return formatdate(time.time() + float(value.removeprefix("date+")), usegmt=True)
    return value if isinstance(value, str) else f"{value:g}"


def _position(text: str) -> Position:
    if text in NAMED_POSITIONS:
        return text
    if text.endswith("%"):
        return float(text[:-1]) / 100
    return float(text) if "." in text else int(text)


def _chance(text: str) -> float:
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def _flag(text: str) -> bool:
    if text not in ("", "yes", "no"):
        raise ValueError(text)
    return text != "no"


def _framing(text: str) -> str:
    if text not in ("length", "close", "chunked"):
        raise ValueError(text)
    return text


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


_READ: dict[str, Callable[[str], Any]] = {
    "on": str,
    "path": str,
    "times": int,
    "after": int,
    "chance": _chance,
    "status": int,
    "code": str,
    "body": str,
    "retry_after": _number_or_text,
    "redirect": str,
    "html": _flag,
    "empty": _flag,
    "reset": _position,
    "cut": _position,
    "stall": float,
    "at": _position,
    "slow": float,
    "whole": _flag,
    "corrupt": _position,
    "long": int,
    "gzip": _flag,
    "framing": _framing,
}
