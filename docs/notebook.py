"""Run a notebook, and write it with what it shows: `python docs/notebook.py NOTEBOOK OUTPUT`.

The output has no times and no versions in it, so that it changes only where what it shows does.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

LONGEST = 120  # seconds that a cell may take


def main(notebook: Path, output: Path) -> None:
    """Run a notebook in its own folder.

    Raises:
        CellExecutionError: A cell failed; nothing is written.
    """
    nodes = nbformat.read(notebook, as_version=4)
    NotebookClient(
        nodes,
        timeout=LONGEST,
        record_timing=False,
        resources={"metadata": {"path": str(notebook.resolve().parent)}},
    ).execute()
    nodes.metadata.language_info = {"name": "python"}
    nbformat.validate(nodes)
    nbformat.write(nodes, output)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
