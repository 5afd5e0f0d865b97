"""The runs of the command, and what they have received."""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.live.platform import Platform
from benchmarks.live.report import code, make_table
from benchmarks.live.runs import Run, run
from stage_in.safe.manifest import MANIFEST, parse
from stage_in.sources.nodes import NodesSource
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.auth import NoTokens
from stage_in.transfer.client import Client
from stage_in.transfer.pacing import Pacing

_COLUMNS = ("transport", "exit code", "files", "MB", "s", "MB/s", "whole run, s", "retries", "429s")
# Multihash codes of the item's checksums; the platform writes MD5's code before some SHA3-256.
_ALGORITHMS = {("1620", 64): "sha3_256", ("d50110", 32): "md5", ("d50120", 64): "sha3_256"}


def describe_staging(platform: Platform, say: Callable[[str], None]) -> Iterator[str]:
    """Stage the bands by each transport, if there is an item."""
    _ = platform.item
    rows, notes = [], []
    for transport in platform.transports:
        say(f"staging {', '.join(platform.bands)} by {transport}")
        if transport == "zip" and (why := _find_objection(platform)):
            rows.append([transport, "", *[""] * (len(_COLUMNS) - 2)])
            notes.append(f"- zip: not tried, because {why}")
            continue
        found = run(
            transport, platform.item_url, platform.bands, platform.folder, platform.environment
        )
        platform.runs[transport] = found
        rows.append(_make_row(found, _get_zip_size(platform)))
        notes += [f"- {transport}: {code(reason)}" for reason in found.reasons]
        if found.code != 0:
            notes.append(f"- {transport} failed: {code(found.last.get('message'))}")
        elif found.source != transport:
            notes.append(f"- {transport}: the files came from {code(found.source)} in the end")
        time.sleep(platform.pause)
    yield from make_table(_COLUMNS, rows)
    yield ""
    yield from notes
    for name in {"mount", "s3", "nodes", "zip"} - {*platform.transports}:
        yield f"- {name}: not tried, because the environment has no settings for it"


def _find_objection(platform: Platform) -> str:
    """Return why the zip is not downloaded; "" if it is."""
    size = _get_zip_size(platform)
    if size and size <= platform.max_zip:
        return ""
    found = f"has {size / 1e6:.0f} MB" if size else "has an unknown size"
    return f"the zip {found}, and at most {platform.max_zip / 1e6:.0f} MB are downloaded"


def _get_zip_size(platform: Platform) -> int:
    asset = platform.document.get("assets", {}).get("Product", {})
    size = asset.get("file:size")
    return size if isinstance(size, int) else 0


def _make_row(run: Run, zip_size: int) -> list[str]:
    product = run.product
    size = zip_size if run.source == "zip" else product.get("bytes") or 0
    return [
        run.transport,
        "no end" if run.code is None else str(run.code),
        str(product.get("files", "")),
        f"{size / 1e6:.1f}" if product else "",
        f"{run.seconds:.1f}",
        f"{size / 1e6 / run.seconds:.1f}" if product and run.seconds else "",
        str(run.last.get("seconds", "")),
        str(run.last.get("retries", "")),
        str(run.last.get("too_many_requests", "")),
    ]


def describe_sizes(platform: Platform) -> Iterator[str]:
    """Compare the item, the list of nodes and the manifest with the files that were received."""
    product = platform.product
    done = [run for run in platform.runs.values() if run.code == 0]
    received: dict[str, Path] = {}
    if done:
        safe = done[0].output / product.id / product.name.folder
        received = {
            path.relative_to(safe).as_posix(): path for path in safe.rglob("*") if path.is_file()
        }
    sizes = {path: file.stat().st_size for path, file in received.items()}
    client = Client(platform.trust, NoTokens(), Pacing(1))
    try:
        listed = NodesSource(product, client, Arrivals(), 1).list_files()
    except Exception as error:
        yield f"- The list of nodes can't be read: {code(error)}"
        listed = {}
    assets = dict(_list_assets(platform))
    described = {path: asset.get("file:size") for path, asset in assets.items()}
    manifest = {}
    if MANIFEST in received:
        entries = parse(received[MANIFEST].read_bytes())
        manifest = {path: entry.size for path, entry in entries.items()}
        others = sorted(listed.keys() - manifest.keys() - {MANIFEST})
        yield f"- Listed, but not in the manifest: {code(', '.join(others) or 'none')}"
    for name, claimed in (("item", described), ("list", listed), ("manifest", manifest)):
        common = claimed.keys() & sizes.keys()
        wrong = sorted(path for path in common if claimed[path] != sizes[path])
        verdict = f"{len(common) - len(wrong)} of {len(common)} agree with what was received"
        platform.found[f"Sizes in the {name}"] = verdict
        yield f"- Sizes in the {name}: {verdict}"
        for path in wrong[:5]:
            yield f"    - {code(path)}: {code(claimed[path])} instead of {sizes[path]}"
    platform.found["Size of the zip in the item"] = str(_get_zip_size(platform) or "none")
    yield from _compare_checksums(platform, assets, received)
    for one in done[1:]:
        shutil.rmtree(one.output, ignore_errors=True)


def _list_assets(platform: Platform) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path in the SAFE folder and the fields of each asset that is a file of it."""
    for asset in platform.document.get("assets", {}).values():
        _, found, path = str(asset.get("href")).partition(f"/{platform.product.name.folder}/")
        if found and not path.startswith("Nodes("):
            yield path, asset


def _compare_checksums(
    platform: Platform, assets: dict[str, dict[str, Any]], received: dict[str, Path]
) -> Iterator[str]:
    right, wrong, unknown = 0, [], []
    for path in sorted(assets.keys() & received.keys()):
        checksum = str(assets[path].get("file:checksum", ""))
        for (prefix, digits), algorithm in _ALGORITHMS.items():
            digest = checksum.removeprefix(prefix)
            if checksum.startswith(prefix) and len(digest) == digits:
                content = received[path].read_bytes()
                same = hashlib.new(algorithm, content).hexdigest() == digest.lower()
                right += same
                wrong += [] if same else [path]
                break
        else:
            unknown.append(path)
    verdict = f"{right} agree, {len(wrong)} differ, {len(unknown)} can't be read"
    platform.found["Checksums in the item"] = verdict
    yield f"- Checksums in the item: {verdict}"
    for path in [*wrong, *unknown][:5]:
        yield f"    - {code(path)}: {code(assets[path].get('file:checksum'))}"
