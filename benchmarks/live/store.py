"""What the object store answers."""

import hashlib
import re
import statistics
import time
from collections.abc import Iterator
from urllib.parse import quote, urlencode

from benchmarks.live import slots
from benchmarks.live.platform import Platform
from benchmarks.live.probe import Answer
from benchmarks.live.report import code
from benchmarks.live.service import describe_answer, summarize
from stage_in.safe.manifest import MANIFEST
from stage_in.sources.eodata import BUCKET, find_path
from stage_in.transfer.signing import SigningAuth

_REPEATS = 5


def describe_store(platform: Platform) -> Iterator[str]:
    """Request a small object in several ways from each endpoint."""
    if platform.keys is None:
        yield "- There are no keys in the environment."
        return
    path = find_path(platform.item, platform.product.name)
    auth = SigningAuth(platform.keys, platform.keys.regions[0])
    for endpoint in platform.keys.endpoints:
        yield f"### {code(endpoint)}"
        yield ""
        try:
            yield from _describe_endpoint(platform, endpoint, path, auth)
        except Exception as error:
            yield f"- failed: {code(error)}"
        yield ""


def _describe_endpoint(
    platform: Platform, endpoint: str, path: str, auth: SigningAuth
) -> Iterator[str]:
    ask, found = platform.prober.ask, platform.found
    url = f"{endpoint}/{BUCKET}/{quote(f'{path}/{MANIFEST}')}"
    whole = ask(url, auth, limit=2**24)
    yield from describe_answer("A small object, whole", whole)
    found["S3: a small object"] = summarize(whole)
    if whole.status != 200:
        return
    found["S3: ETag"] = _describe_tag(whole)
    seconds = sorted(ask(url, auth).seconds for _ in range(_REPEATS))
    latency = f"{seconds[0]:.3f} s, median {statistics.median(seconds):.3f} s"
    found["S3: first byte after"] = latency
    yield f"- The same {_REPEATS} times again: first byte after {latency}"
    answer = ask(url, auth, {"Range": "bytes=100-199"})
    yield from describe_answer("Bytes 100 to 199", answer)
    found["S3: Range"] = summarize(answer)
    query = {"list-type": "2", "prefix": f"{path}/", "max-keys": "2"}
    answer = ask(f"{endpoint}/{BUCKET}?{urlencode(query, quote_via=quote)}", auth)
    yield from describe_answer("The list of the product's objects", answer)
    found["S3: list of objects"] = summarize(answer)
    time.sleep(platform.pause)
    lag = slots.measure_finished(platform.prober, url, auth)
    found["S3: one of 4 finished downloads still counts for"] = str(lag)
    yield f"- 4 finished downloads: {lag}"
    if lag.refusal:
        yield from describe_answer("A request without a free slot", lag.refusal)


def _describe_tag(answer: Answer) -> str:
    tag = answer.headers.get("ETag", "").strip('"')
    digest = hashlib.md5(answer.body, usedforsecurity=False).hexdigest()
    if tag == digest:
        return "the MD5 of the object"
    if re.fullmatch("[0-9a-f]{32}-[0-9]+", tag):
        return "an MD5 and a number of parts"
    return code(tag or "none")
