"""Faults: what goes wrong in the sandbox, for whom, and how often."""

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

from sandbox.answer import Alter, Answer, Framing
from sandbox.body import CutError, ResetError, chunks, size
from sandbox.damage import NAMED, Position, corrupted, ended, lengthened, offset, paced, stalled
from sandbox.services import ROLES

PAGE = b"""<!DOCTYPE html>
<html><head><title>Copernicus Data Space Ecosystem</title></head>
<body><h1>Scheduled maintenance</h1><p>The service will be back soon.</p></body></html>
"""


@dataclass(frozen=True)
class Fault:
    """One rule of what goes wrong.

    A position in a body is an int (bytes; negative: from the end), a float (a fraction from 0 to
    1) or one of "start", "middle", "last" (before the last byte).

    Attributes:
        on: The service: catalogue, stac, download, identity or stranger; any is all but the last.
        path: Glob that the decoded path with its query must match.
        times: For how many requests; None for all.
        after: How many requests to let pass first.
        chance: Probability with which one of those that are left is struck.
        status: Answer with this status instead.
        body: Answer with this body instead, with status 200 if none is given.
        headers: Headers of the answer, in addition.
        retry_after: Retry-After: seconds, or a text sent as it is; "date+5" is a date 5 s ahead.
        redirect: Answer with this Location, with status 302 if none is given. "{path}" stands for
            the request's path and query, "{download}" and so on for the services' origins.
        html: Answer 200 with a page of HTML.
        empty: Answer 200 with nothing.
        reset: Reset the connection (RST) at this position; "start" is before the answer begins.
        cut: Close the connection at this position of the body.
        stall: Seconds of silence.
        at: Where to stall; None for before the answer begins.
        slow: Bytes per second.
        corrupt: Position of the byte whose bits are flipped.
        long: How many bytes too many to send, after which the connection is closed.
        gzip: Send the body compressed, with Content-Encoding.
        framing: How the end of the body is made known: length, close (neither Content-Length nor
            chunks) or chunked.
    """

    on: str = "any"
    path: str = "*"
    times: int | None = None
    after: int = 0
    chance: float = 1.0
    status: int | None = None
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
        """Read a rule such as ``status=503 on=download path=*B04.jp2* times=2``.

        Words are separated as in a shell; each is ``field=value``, or the name alone for html,
        empty and gzip. Positions: ``1000``, ``0.5``, ``50%``, ``last``. A chance: ``0.02``,
        ``2%``. A header is ``header=Name:value``, as often as wanted.

        Raises:
            ValueError: A word is not understood; the message names it.
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
                raise ValueError(f"in fault {text!r}: {value!r} is no value of {name}") from error
        return cls(**found, headers=headers)

    def matches(self, role: str, path: str) -> bool:
        """Whether this rule is for such a request."""
        asked = role == self.on or (self.on == "any" and role != "stranger")
        return asked and fnmatchcase(path, self.path)

    @property
    def replaces(self) -> bool:
        """Whether the answer is another one, not only the way it is sent."""
        return (
            self.reset == "start"
            or self.html
            or self.empty
            or any(x is not None for x in (self.status, self.body, self.redirect))
        )

    def answer(self, places: Mapping[str, str]) -> Answer:
        """The answer given instead of the real one.

        Args:
            places: What "{name}" stands for in ``redirect``.
        """
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["Retry-After"] = _retry_after(self.retry_after)
        if self.redirect is not None:
            location = self.redirect
            for name, value in places.items():
                location = location.replace(f"{{{name}}}", value)
            return Answer(self.status or 302, {"Location": location} | headers)
        status = self.status or 200
        if self.html:
            return Answer(status, {"Content-Type": "text/html; charset=utf-8"} | headers, (PAGE,))
        if self.empty:
            return Answer(status, headers)
        if self.body is not None:
            body = self.body.encode() if isinstance(self.body, str) else self.body
            return Answer(status, {"Content-Type": "application/octet-stream"} | headers, (body,))
        message = json.dumps({"message": _phrase(status)}).encode()
        return Answer(status, {"Content-Type": "application/json"} | headers, (message,))

    async def recode(self, answer: Answer) -> Answer:
        """The answer with the changes that concern its head: compression, headers."""
        headers = {**answer.headers, **self.headers}
        if not self.gzip:
            return replace(answer, headers=headers)
        whole = b"".join([chunk async for chunk in chunks(answer.body)])
        packed = await asyncio.to_thread(gzip.compress, whole, 1, mtime=0)
        return replace(answer, headers=headers | {"Content-Encoding": "gzip"}, body=(packed,))

    def alterations(self, answer: Answer) -> list[Alter]:
        """What this rule does to the body of an answer on its way."""
        length = size(answer.body)
        found: list[Alter] = []
        if self.corrupt is not None:
            found.append(partial(corrupted, at=offset(self.corrupt, length)))
        if self.long:
            found.append(partial(lengthened, extra=self.long))
        if self.slow is not None:
            found.append(partial(paced, rate=self.slow))
        if self.stall is not None and self.at is not None:
            found.append(partial(stalled, at=offset(self.at, length), seconds=self.stall))
        if self.cut is not None:
            found.append(partial(ended, at=offset(self.cut, length), end=CutError))
        if self.reset is not None:
            found.append(partial(ended, at=offset(self.reset, length), end=ResetError))
        return found


class Rule:
    """A fault in force, with its count.

    Chance is drawn from the seed, the request's path, and how often that has come. So the same
    seed strikes the same requests again, whatever others arrive between them.

    Attributes:
        fault: The fault.
        seen: How many requests it matched.
        used: How many it struck.
    """

    def __init__(self, fault: Fault, seed: str = "") -> None:
        self.fault = fault
        self.seen = 0
        self.used = 0
        self._seed = seed
        self._met: Counter[str] = Counter()

    def strikes(self, path: str) -> bool:
        """Count a request that matches; whether it is struck."""
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
        """A number from 0 to 1 for this request."""
        self._met[path] += 1
        return random.Random(f"{self._seed} {self._met[path]} {path}").random()


class Faults:
    """The rules in force, in the order in which they were added. Any thread may change them.

    Of several rules that replace the answer, the first that is not used up and has its chance does;
    one that does not get its turn is not counted. Rules for the body all apply, one after the
    other, to what is an answer of success (below 400) or was put in its place.
    """

    def __init__(self, seed: int = 0) -> None:
        """Begin without any.

        Args:
            seed: What chances are drawn from, for each rule by its number.
        """
        self._rules: list[Rule] = []
        self._seed = seed
        self._added = 0
        self._lock = threading.Lock()

    @property
    def rules(self) -> list[Rule]:
        """The rules in force, in the order in which they were added."""
        with self._lock:
            return list(self._rules)

    def add(self, fault: Fault | str) -> Rule:
        """Put a fault in force, given as such or as text."""
        fault = Fault.parse(fault) if isinstance(fault, str) else fault
        with self._lock:
            self._added += 1
            rule = Rule(fault, f"{self._seed} {self._added}")
            self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Lift a rule; one that is not in force is no error."""
        with self._lock:
            self._rules = [other for other in self._rules if other is not rule]

    def clear(self) -> None:
        """Lift all rules."""
        with self._lock:
            self._rules.clear()

    def replacing(self, role: str, path: str) -> Fault | None:
        """The fault that answers this request instead of the service."""
        with self._lock:
            for rule in self._rules:
                fault = rule.fault
                if fault.replaces and fault.matches(role, path) and rule.strikes(path):
                    return fault
        return None

    def altering(self, role: str, path: str) -> list[Fault]:
        """The faults that alter the answer to this request."""
        with self._lock:
            return [
                rule.fault
                for rule in self._rules
                if not rule.fault.replaces and rule.fault.matches(role, path) and rule.strikes(path)
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
    if text in NAMED:
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
    "corrupt": _position,
    "long": int,
    "gzip": _flag,
    "framing": _framing,
}
