"""The generated part of README.md: what is different about this tool, with measured figures."""

import json
import textwrap
from pathlib import Path

from benchmarks.product import MEGABYTE
from benchmarks.soak import tables as soak
from benchmarks.tables import RESULTS, read_rows

_SENTENCES = (
    "**The catalog is verified, or it is absent.** Each file is compared with its digest in the "
    "product's `manifest.safe`, and the catalog appears complete or not at all. In a soak test, "
    "{staged} of {products} products were staged intact while faults disturbed {struck} requests.",
    "**It downloads in parallel.** The platform grants an account four parallel downloads of "
    "20 MB/s each. At these limits, a product of 600 MB takes {nodes:.1f} s as single files and "
    "{s3:.1f} s over S3, compared with {curl:.1f} s for `curl` and `unzip`.",
    "**It downloads only what you need.** The three bands B02, B03 and B04 of the same product are "
    "{bands:.0f} MB and take {bands_wall:.1f} s.",
    "**It needs little disk space, and it resumes.** With single files or over S3, a run needs "
    "{disk:.1f} times the product's size in disk space, and {memory:.0f} MB of memory in the "
    "larger of its two processes. "
    "After a failure, the next run downloads only the files that are missing or damaged.",
)


def show(path: Path = RESULTS, soak_path: Path = soak.RESULTS) -> str:
    """Return the list of README.md."""
    rows, soaked = read_rows(path), json.loads(soak_path.read_text())
    runs = [*soaked["serial"], *soaked["jobs"]]
    nodes, s3, bands, curl = (
        rows["limits", 600, contestant] for contestant in ("nodes", "s3", "bands", "curl")
    )
    figures = {
        "staged": sum(not run["failure"] for run in runs),
        "products": len(runs),
        "struck": sum(
            soaked[f"{way}_traffic"]["requests struck by a fault"] for way in ("serial", "jobs")
        ),
        "nodes": nodes.wall,
        "s3": s3.wall,
        "curl": curl.wall,
        "bands": bands.sent / MEGABYTE,
        "bands_wall": bands.wall,
        "disk": max(row.disk / row.wanted for row in (nodes, s3)),
        "memory": max(row.memory for row in (nodes, s3, bands)) / MEGABYTE,
    }
    items = (f"- {sentences.format(**figures)}" for sentences in _SENTENCES)
    lines = (
        textwrap.fill(item, 100, subsequent_indent="  ", break_on_hyphens=False) for item in items
    )
    return "\n".join(["", *lines, ""])
