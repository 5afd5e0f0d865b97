"""Run a notebook, and write it with its outputs: `python docs/notebook.py NOTEBOOK OUTPUT`.

Times and versions are left out, so the file changes only if its outputs do.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

MAX_CELL_SECONDS = 120


def main(notebook: Path, output: Path) -> None:
    """Run a notebook in its own folder.

    Raises:
        CellExecutionError: a cell failed; nothing is written.
    """
    nodes = nbformat.read(notebook, as_version=4)
    NotebookClient(
        nodes,
        timeout=MAX_CELL_SECONDS,
        record_timing=False,
        resources={"metadata": {"path": str(notebook.resolve().parent)}},
    ).execute()
    nodes.metadata.language_info = {"name": "python"}
    nbformat.validate(nodes)
    nbformat.write(nodes, output)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
