"""Which files were requested from a sandbox, for tests."""

import re
from collections import Counter
from urllib.parse import unquote

from sandbox.server import Sandbox


def count_downloads(platform: Sandbox) -> Counter[str]:
    """Return how often each file was requested, by its path in the product."""
    exchanges = platform.log.of("download", "*$value")
    return Counter(
        "/".join(re.findall(r"Nodes\(([^)]*)\)", unquote(x.path))[1:]) for x in exchanges
    )
