"""HTTP requests one by one: no redirect is followed, no cookie kept, no exception untranslated."""

from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from typing import Any

import requests
from requests.adapters import DEFAULT_POOLSIZE
from requests.auth import AuthBase

from stage_in.errors import ProxyRefusedError, TemporaryError, UnknownHostError
from stage_in.machine import iterate_causes
from stage_in.transfer.connections import Adapter, StaleConnectionError
from stage_in.transfer.environment import check_proxy, read_environment
from stage_in.transfer.response import STALL_TIMEOUT, translated_errors

CONNECT_TIMEOUT = 10.0  # seconds


class Session(requests.Session):
    """A session that never looks at redirects. It may be used from several threads.

    Even with `allow_redirects=False`, requests prepares the next request: it reads the whole body
    of the redirect, however long, and fails on an invalid Location header.
    """

    def __init__(
        self, stall_timeout: float = STALL_TIMEOUT, connections: int = DEFAULT_POOLSIZE
    ) -> None:
        """Prepare a session.

        Args:
            stall_timeout: seconds without a byte after which a connection is closed.
            connections: how many connections are kept open.
        """
        super().__init__()
        self._timeouts = (min(CONNECT_TIMEOUT, stall_timeout), stall_timeout)
        self._reachable: set[str] = set()  # origins whose proxy has been checked
        self._answered: set[str] = set()  # origins that exist, as they have answered
        self.headers["User-Agent"] = user_agent()
        self.headers["Accept-Encoding"] = "identity"
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))  # threads share nothing
        for scheme in ("https://", "http://"):
            self.mount(scheme, Adapter(max_retries=0, pool_maxsize=connections))

    def merge_environment_settings(self, *arguments: Any, **options: Any) -> Any:
        """Read proxies and certificates from the environment."""
        read = super().merge_environment_settings
        return read_environment(lambda: read(*arguments, **options))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return None: there is no redirect to follow."""
        return None

    def open(
        self,
        url: str,
        auth: AuthBase,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        **content: Any,
    ) -> requests.Response:
        """Request a URL once, and return the response before its body is read.

        Args:
            url: what is requested.
            auth: adds what identifies the user.
            headers: other headers of the request.
            method: GET, POST or DELETE.
            content: `data` for a form or `json`, as requests takes them.

        Raises:
            StageInError: the kind depends on the failure. A status is none.
        """
        origin = "/".join(url.split("/", 3)[:3])
        if origin not in self._reachable:
            check_proxy(url)
            self._reachable.add(origin)
        try:
            with translated_errors(url):
                response = self._send_anew(
                    method,
                    url,
                    auth=auth,
                    headers=headers,
                    stream=True,
                    allow_redirects=False,
                    timeout=self._timeouts,
                    **content,
                )
        except (UnknownHostError, ProxyRefusedError) as error:
            if origin in self._answered:  # then the network or the proxy fails only now
                raise TemporaryError(str(error)) from error
            raise
        self._answered.add(origin)
        return response

    def _send_anew(self, method: str, url: str, **options: Any) -> requests.Response:
        """Make a request; again if the server has closed the connection that was kept for it.

        This ends, because each such failure takes one of the connections that are kept.
        """
        while True:
            try:
                return self.request(method, url, **options)
            except requests.exceptions.ConnectionError as error:
                is_stale = any(isinstance(e, StaleConnectionError) for e in iterate_causes(error))
                if method != "GET" or not is_stale:
                    raise


def user_agent() -> str:
    """Return the User-Agent header of all requests."""
    return f"stage-in/{version('stage-in')}"
