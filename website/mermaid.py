"""``python -m website.mermaid FILE``: fetch what draws the diagrams, and check that it is that.

By npm, from wherever that is set up to fetch; the site carries it, and its readers fetch nothing.
"""

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

# The version that the theme is made for, and the digest that npm has of its archive
# (`npm view mermaid@12.3.0 dist.integrity`).
VERSION = "12.3.0"
INTEGRITY = (
    "4113TdXeLAsMruJ79OpFL5O8+LTFXhQqZ260rF3tgUmiNAtRm4Uume04I+65PRN6yZ69J4f8rVYWW8zRk65UYw=="
)
MEMBER = "package/dist/mermaid.min.js"


def main(target: Path) -> None:
    """Fetch mermaid.

    Args:
        target: the script to be.
    """
    with tempfile.TemporaryDirectory(prefix="mermaid-") as folder:
        subprocess.run(
            ["npm", "pack", "--silent", "--ignore-scripts", f"mermaid@{VERSION}"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        (archive,) = Path(folder).glob("*.tgz")
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != INTEGRITY:
            sys.exit(f"mermaid {VERSION}: expected SHA-512 {INTEGRITY}, found {found}")
        with tarfile.open(archive) as opened:
            member = opened.extractfile(MEMBER)
            if member is None:
                sys.exit(f"mermaid {VERSION}: expected {MEMBER}, found none")
            target.write_bytes(member.read())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
