"""The proxies and certificates that requests takes from the environment, checked before use."""

import os
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import urllib3
from requests.utils import get_environ_proxies, select_proxy

from stage_in.errors import UsageError
from stage_in.secrets import register_url

T = TypeVar("T")
_SCHEMES = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"}


def check_certificates(environment: Mapping[str, str]) -> None:
    """Check the environment variables that name certificates, and the log of TLS keys.

    Raises:
        UsageError: a variable names something that can't be used.
    """
    if path := environment.get("SSLKEYLOGFILE"):
        _check_key_log(path)  # first, because who reads certificates opens this file as well
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := environment.get(name):
            _check_bundle(name, path)
            break  # requests uses the first that is set


def read_environment(read: Callable[[], T]) -> T:
    """Return what a function finds that goes through all variables of the environment.

    It fails if another thread removes one meanwhile, as numpy 1 does while it is imported.
    """
    while True:
        with suppress(KeyError):
            return read()


def check_proxy(url: str) -> None:
    """Check the proxy that requests will use for a URL, if there is one.

    Variables for other schemes and hosts are not looked at. A proxy's URL may hold a password, so
    no message quotes it.

    Raises:
        UsageError: it is not a proxy that can be used.
    """
    try:
        proxy = select_proxy(url, read_environment(lambda: get_environ_proxies(url)))
    except ValueError:
        return  # the malformed URL is reported by the request
    if not proxy:
        return
    register_url(proxy)
    name = _find_variable(proxy)
    try:
        parts = urllib3.util.parse_url(proxy if "://" in proxy else f"http://{proxy}")
    except urllib3.exceptions.LocationParseError:
        parts = urllib3.util.Url()
    scheme = parts.scheme or ""
    if scheme not in _SCHEMES or not parts.host:
        found = f"a URL that starts with {scheme}:" if parts.host else "something else"
        raise UsageError(
            f"{name} must contain the URL of a proxy, such as http://proxy.example:3128 or "
            f"socks5h://proxy.example:1080, but contains {found}. Write special characters of its "
            "user and password as %XX"
        )


def _check_bundle(name: str, path: str) -> None:
    try:
        if Path(path).is_dir():
            ssl.create_default_context(capath=path)
        else:
            ssl.create_default_context(cafile=path)
    except OSError as error:
        raise UsageError(
            f"the certificates that {name} names can't be read: {error.strerror or error} at "
            f"{path}. Name a file that the tool can read, inside of its container if it runs in one"
        ) from error


def _check_key_log(path: str) -> None:
    """Check the file to which OpenSSL logs the keys of all connections."""
    try:
        with Path(path).open("ab"):
            pass
    except OSError as error:
        raise UsageError(
            f"the file that SSLKEYLOGFILE names can't be written: {error.strerror} at {path}. "
            "Unset the variable, or name another file"
        ) from error


def _find_variable(proxy: str) -> str:
    for scheme in ("https", "http", "all"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            if os.environ.get(name) == proxy:
                return name
    return "the variables for proxies"
