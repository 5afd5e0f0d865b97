"""Write a CWL file for a release: `python deploy/release.py FILE.cwl NAME@sha256:DIGEST`.

Print the file with its image replaced by the one with this name and digest. A digest always means
the same image, whereas a tag can be moved.
"""

import re
import sys
from pathlib import Path

NAMED = re.compile(r'(dockerPull: *"?)(?:[\w.:-]+/)*stage-in:\d[\w.+-]*')
# Host, port, path and digest as defined by the OCI distribution specification.
REFERENCE = re.compile(
    r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+@sha256:[0-9a-f]{64}"
)


def pin(text: str, reference: str) -> str:
    """Return a CWL document that names its image by a digest.

    Args:
        text: The document.
        reference: The image as HOST/NAME@sha256:DIGEST.

    Raises:
        ValueError: The reference is malformed, or the document names no image to replace.
    """
    if not REFERENCE.fullmatch(reference):
        raise ValueError(f"expected HOST/NAME@sha256:<64 hexadecimal digits>, found {reference!r}")
    pinned, count = NAMED.subn(lambda match: match[1] + reference, text)
    if not count:
        raise ValueError("expected a dockerPull of stage-in:<version> in the document, found none")
    return pinned


if __name__ == "__main__":
    try:
        sys.stdout.write(pin(Path(sys.argv[1]).read_text(), sys.argv[2]))
    except ValueError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
