"""What the STAC API, the token endpoint and the download service answer."""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any

from benchmarks.live import slots
from benchmarks.live.platform import Platform
from benchmarks.live.probe import Answer, read_json, show_host
from benchmarks.live.report import code
from stage_in.errors import ProductError, TemporaryError
from stage_in.sources.odata import list_origins
from stage_in.sources.platform_item import MAX_ITEM_SIZE, parse_items
from stage_in.transfer.auth import NoAuth
from stage_in.transfer.token import Token

_ATTEMPTS = 3  # for the item, on which all else depends
_FIRST_BYTES = {"Range": "bytes=0-99"}


def describe_item(platform: Platform) -> Iterator[str]:
    """Request the item, and describe it."""
    for attempt in range(_ATTEMPTS):
        time.sleep(2 * attempt)
        with suppress(TemporaryError):
            answer = platform.prober.ask(platform.item_url, NoAuth(), limit=MAX_ITEM_SIZE)
            yield from describe_answer("The item", answer)
            if answer.status == HTTPStatus.OK:
                break
    else:
        raise ProductError("the item was not received, so there is nothing to stage")
    platform.document = document = read_json(answer)
    platform.item = parse_items(answer.body, platform.item_url)[0]
    assets = document["assets"]
    yield f"- Id: {code(document['id'])}, STAC {code(document.get('stac_version'))}"
    yield f"- Assets: {code(', '.join(assets))}"
    prefixes = {_get_prefix(asset) for asset in assets.values()}
    yield f"- Assets with `file:size`: {sum('file:size' in asset for asset in assets.values())}"
    yield f"- First digits of `file:checksum`: {code(', '.join(sorted(prefixes)))}"
    yield f"- Origin of the product: {code(platform.product.origin)}"


def _get_prefix(asset: dict[str, Any]) -> str:
    """Return the digits of a checksum that name its algorithm and length (multihash)."""
    checksum = str(asset.get("file:checksum", "none"))
    return checksum[: 6 if checksum.startswith("d5") else 4]


def describe_token(platform: Platform) -> Iterator[str]:
    """Obtain a token, and describe it without showing it."""
    if platform.credentials is None:
        yield "- There is no token and no user in the environment."
        return
    given = platform.environment.get("CDSE_ACCESS_TOKEN")
    token = Token.parse(platform.credentials.access_token())
    refresh = platform.credentials.refresh_token
    # A one-time code is good for one login only, so the runs get the tokens that it gave.
    platform.environment["CDSE_ACCESS_TOKEN"] = token.value
    if refresh:
        platform.environment["CDSE_REFRESH_TOKEN"] = refresh
    platform.environment.pop("CDSE_TOTP", None)
    yield f"- From: {'the environment' if token.value == given else 'the token endpoint'}"
    if token.issued:
        life = f"{token.expires - token.issued:.0f} s"
        platform.found["An access token is valid for"] = life
        left = token.expires - datetime.now(UTC).timestamp()
        yield f"- Access token: {code(token.kind)}, valid for {life}, {left:.0f} s of them left"
    else:
        yield "- The access token is not a JSON Web Token that says when it was issued."
    if refresh and (parsed := Token.parse(refresh)).issued:
        life = f"{parsed.expires - parsed.issued:.0f} s"
        platform.found["A refresh token is valid for"] = life
        yield f"- Refresh token: {code(parsed.kind)}, valid for {life}"


def describe_downloads(platform: Platform) -> Iterator[str]:
    """Request the list, a small file and the zip in several ways."""
    ask, found = platform.prober.ask, platform.found
    product, file, opened = platform.product, platform.get_node_url(), platform.open_auth
    root = f"{product.origin}/odata/v1/Products({product.uuid})"
    answer = ask(f"{root}/Nodes", opened)
    yield from describe_answer("The list of the product's nodes, without a token", answer)
    found["The list of files, without a token"] = summarize(answer)
    answer = ask(file, opened)
    yield from describe_answer("A small file (`manifest.safe`), without a token", answer)
    found["A file, without a token"] = summarize(answer)

    download = platform.download
    whole = download(file)
    yield from describe_answer("A small file, whole", whole)
    found["Content-Length of a file"] = "sent" if "Content-Length" in whole.headers else "missing"
    found["ETag of a file"] = code(whole.headers.get("ETag", "none"))
    again = [download(file).seconds for _ in range(3)]
    found["First byte of a file after"] = f"{min(again):.2f} s to {max(again):.2f} s"
    yield f"- The same three times again: first byte after {found['First byte of a file after']}"
    for title, url, name in (
        ("A small file, bytes 0 to 99", file, "Range of a file"),
        ("The zip, bytes 0 to 99; the rest is not read", product.zip_url, "Range of the zip"),
    ):
        answer = download(url, _FIRST_BYTES)
        yield from describe_answer(title, answer)
        found[name] = summarize(answer)
    origin = _find_catalogue(platform)
    url = product.zip_url.replace(product.origin, origin, 1)
    answer = download(url)
    yield from describe_answer("The zip by the catalogue's URL; the rest is not read", answer)
    found["The catalogue's URL of the zip"] = code(" → ".join(answer.hops))
    found["Content-Length of the zip"] = answer.headers.get("Content-Length", "missing")


def _find_catalogue(platform: Platform) -> str:
    """Return the origin of the OData service that knows the product."""
    origins = list_origins([platform.item_url], platform.trust.stand_ins)
    for origin in origins:
        answer = platform.prober.ask(
            f"{origin}/odata/v1/Products({platform.product.uuid})", platform.open_auth
        )
        fields = read_json(answer)
        if answer.status == 200 and "Id" in fields:
            platform.found["Size of the zip in OData"] = str(fields.get("ContentLength"))
            return origin
    return origins[-1]


def describe_slots(platform: Platform) -> Iterator[str]:
    """Measure for how long a download counts after its end."""
    small, large = platform.get_node_url(), platform.product.zip_url
    auth = platform.token_auth
    refusals = []
    for name, measure in (
        ("finished", partial(slots.measure_finished, platform.prober, small, auth)),
        ("cancelled", partial(slots.measure_cancelled, platform.prober, large, small, auth)),
    ):
        time.sleep(platform.pause)
        lag = measure()
        platform.found[f"One of 4 {name} downloads still counts for"] = str(lag)
        yield f"- 4 {name} downloads ({lag.granted} of them were granted): {lag}"
        refusals += [lag.refusal] if lag.refusal else []
    if not refusals:
        platform.found["Without a free slot"] = "no request was refused"
        return
    yield from describe_answer("A request without a free slot", refusals[0])
    after = refusals[0].headers.get("Retry-After", "none")
    platform.found["Without a free slot"] = f"{summarize(refusals[0])}, Retry-After {code(after)}"


def describe_clocks(platform: Platform) -> Iterator[str]:
    """Compare this machine's clock with the platform's."""
    for origin, ahead in platform.prober.clocks.items():
        least, most = min(ahead), max(ahead)
        yield f"- {code(origin)}: {least:+.1f} to {most:+.1f} s, in {len(ahead)} answers"
    worst = max((x for ahead in platform.prober.clocks.values() for x in ahead), key=abs)
    platform.found["The platform's clocks are ahead of this one by"] = f"at most {worst:+.1f} s"
    yield "- A `Date` has whole seconds, so a difference of half a second is not significant."


def describe_answer(title: str, answer: Answer) -> Iterator[str]:
    """Describe an answer: status, time, hosts on the way and headers."""
    hops = " → ".join(answer.hops)
    yield f"- {title}: {summarize(answer)} after {answer.seconds:.2f} s, {code(hops)}"
    for line in answer.shown_headers:
        yield f"    - {code(line)}"
    if answer.other_headers:
        yield f"    - without their values: {code(', '.join(answer.other_headers))}"


def summarize(answer: Answer) -> str:
    """Return status and, if there is one, the reason of a refusal or the range of a part."""
    rest = answer.reason or answer.headers.get("Content-Range", "")
    return f"**{answer.status}** {code(rest)}" if rest else f"**{answer.status}**"


def show_origins(platform: Platform) -> str:
    """Return the origins that replace the platform's."""
    return ", ".join(code(show_host(origin)) for origin in platform.trust.stand_ins)
