"""The proxies and certificates that requests takes from the environment, checked in advance."""

import ssl
from collections.abc import Mapping
from pathlib import Path

import urllib3

from stage_in.errors import UsageError


def check_environment(environment: Mapping[str, str]) -> None:
    """Check the environment variables that name certificates and proxies.

    Raises:
        UsageError: a variable does not name a certificate file or a proxy.
    """
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := environment.get(name):
            _check_certificates(name, path)
            break  # requests uses the first that is set
    for scheme in ("http", "https", "all"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            if url := environment.get(name):
                _check_proxy(name, url)


def _check_certificates(name: str, path: str) -> None:
    try:
        if Path(path).is_dir():
            ssl.create_default_context(capath=path)
        else:
            ssl.create_default_context(cafile=path)
    except OSError as error:
        raise UsageError(
            f"expected certificates in the file that {name} names, found "
            f"{error.strerror or error} at {path}. Name a file that the tool can read, inside of "
            "its container if it runs in one"
        ) from error


def _check_proxy(name: str, url: str) -> None:
    """Check the URL of a proxy. It may hold a password, so no message quotes it."""
    try:
        parts = urllib3.util.parse_url(url if "://" in url else f"http://{url}")
    except urllib3.exceptions.LocationParseError:
        parts = urllib3.util.Url()
    if parts.scheme not in {"http", "https"} or not parts.host:
        found = f"a URL that starts with {parts.scheme}:" if parts.host else "something else"
        raise UsageError(
            f"expected the URL of a proxy in {name}, such as http://proxy.example:3128, found "
            f"{found}. Write special characters of its user and password as %XX"
        )
