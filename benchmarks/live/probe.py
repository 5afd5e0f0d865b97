"""Single requests to the platform, without retries, and what their answers show."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin

import requests
from requests.auth import AuthBase

from stage_in.errors import StageInError
from stage_in.transfer.client import MAX_REDIRECTS
from stage_in.transfer.response import ResponseBody
from stage_in.transfer.session import Session
from stage_in.urls import get_origin, redact

REDIRECTS = {301, 302, 303, 307, 308}
# Headers whose values are shown. Of all others only the names are, as a value may hold anything.
_SHOWN = re.compile(
    r"accept-ranges|age|cache-control|connection|content-(encoding|length|md5|range|type)|date|"
    r"digest|etag|keep-alive|last-modified|repr-digest|retry-after|server|transfer-encoding|via|"
    r"[\w-]*(ratelimit|rate-limit|quota)[\w-]*",
    re.IGNORECASE,
)
_LIMITS = re.compile(r"limit|quota|retry|remaining", re.IGNORECASE)


@dataclass
class Answer:
    """The answer to one request, after redirects.

    Attributes:
        hops: status and origin of each answer on the way, the last one included.
        status: the HTTP status.
        headers: the headers.
        seconds: from the last request to its headers.
        body: the first bytes of the body.
        ended: when the body had arrived or was given up, by the monotonic clock.
    """

    hops: list[str]
    status: int
    headers: Mapping[str, str]
    seconds: float
    body: bytes = b""
    ended: float = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether no download slot was free."""
        return self.status == 429 or (self.status >= 400 and b"DAT-ZIP-100" in self.body)

    @property
    def reason(self) -> str:
        """What the service says about a status that is not 2xx."""
        if self.status < 400:
            return ""
        try:
            fields = json.loads(self.body)
            return f"{fields['code']} {fields['message']}"
        except (ValueError, LookupError, TypeError, RecursionError):
            code = re.search(rb"<Code>(\w+)</Code>", self.body)  # of S3
            return code[1].decode() if code else self.body[:80].decode("utf-8", "replace")

    @property
    def shown_headers(self) -> list[str]:
        """The headers whose values are shown, as they are written in HTTP."""
        return [f"{name}: {x}" for name, x in self.headers.items() if _SHOWN.fullmatch(name)]

    @property
    def other_headers(self) -> list[str]:
        """The names of the other headers."""
        return [name for name in self.headers if not _SHOWN.fullmatch(name)]

    @property
    def limits(self) -> list[str]:
        """The headers that tell of limits, or the names of those that are not shown."""
        shown = [line for line in self.shown_headers if _LIMITS.search(line.partition(":")[0])]
        return [*shown, *(name for name in self.other_headers if _LIMITS.search(name))]


@dataclass
class Prober:
    """Makes single requests over one session.

    Attributes:
        clocks: by origin, by how many seconds its clock is ahead of this machine's.
        limits: all headers seen that tell of limits, without their values.
    """

    session: Session = field(default_factory=Session)
    clocks: dict[str, list[float]] = field(default_factory=dict)
    limits: set[str] = field(default_factory=set)

    def ask(
        self,
        url: str,
        auth: AuthBase,
        headers: Mapping[str, str] | None = None,
        limit: int = 64 * 1024,
    ) -> Answer:
        """Request a URL, read at most about `limit` bytes of the body, and close the answer.

        Raises:
            StageInError: there is no answer, or a redirect leads to a host that is not trusted.
        """
        with self.hold(url, auth, headers) as (answer, response):
            for chunk in ResponseBody(response, url):
                answer.body += chunk
                if len(answer.body) >= limit:
                    break
        answer.ended = time.monotonic()
        return answer

    @contextmanager
    def hold(
        self, url: str, auth: AuthBase, headers: Mapping[str, str] | None = None
    ) -> Iterator[tuple[Answer, requests.Response]]:
        """Open an answer and keep it open; errors are those of `ask`.

        `auth` decides at each hop whether the request may be sent there.
        """
        hops: list[str] = []
        for _ in range(MAX_REDIRECTS + 1):
            before, started = time.time(), time.monotonic()
            try:
                response = self.session.open(url, auth, headers)
            except StageInError as error:
                error.add_note(f"Before that: {', '.join(hops) or 'nothing'}.")
                raise
            seconds = time.monotonic() - started
            self._note(url, response, before + seconds / 2)
            hops.append(f"{response.status_code} {get_origin(url)}")
            if response.status_code not in REDIRECTS:
                break
            response.close()
            url = urljoin(url, response.headers.get("Location", ""))
        answer = Answer(hops, response.status_code, response.headers, seconds)
        try:
            yield answer, response
        finally:
            response.close()
            answer.ended = time.monotonic()

    def _note(self, url: str, response: requests.Response, now: float) -> None:
        self.limits |= {name for name in response.headers if _LIMITS.search(name)}
        try:
            date = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
        except (TypeError, ValueError, OverflowError):
            return
        # A Date has whole seconds: on average the clock is half a second further.
        self.clocks.setdefault(get_origin(url), []).append(date + 0.5 - now)


def read_json(answer: Answer) -> dict[str, Any]:
    """Return the JSON object in an answer; an empty one for anything else."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def show_host(url: str) -> str:
    """Return the origin of a URL, for the report."""
    return "/".join(redact(url).split("/")[:3])
