"""Make a page of a notebook with its outputs: `python notebook.py NOTEBOOK PAGE.md`.

Pictures become files beside the page.
"""

import base64
import json
import re
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

# The style of pandas replaces that of the site, and Markdown would end the HTML at an empty line.
_LEFT_OUT = re.compile(r"<style.*?</style>|</?div>|(?<=<table) [^>]*|\n\s*", re.DOTALL)


class Notebook:
    """Writes the cells of a notebook as Markdown."""

    def __init__(self, notebook: Path, page: Path) -> None:
        self._cells = json.loads(notebook.read_text())["cells"]
        self._page = page
        self._numbers = count(1)

    def list_blocks(self) -> Iterator[str]:
        """Yield the blocks of the page.

        Raises:
            ValueError: a cell has an output that this module can't show.
        """
        for cell in self._cells:
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                yield source
            else:
                yield f"```python\n{source}\n```"
                yield from map(self._show, cell["outputs"])

    def _show(self, output: dict[str, Any]) -> str:
        if output["output_type"] == "stream":
            return f"```text\n{''.join(output['text']).rstrip()}\n```"
        data = output.get("data", {})
        if "image/png" in data:
            path = self._page.with_name(f"{self._page.stem}-{next(self._numbers)}.png")
            path.write_bytes(base64.b64decode("".join(data["image/png"])))
            return f"![Output of the cell above]({path.name})"
        if "text/html" in data:
            return _LEFT_OUT.sub("", "".join(data["text/html"]))
        raise ValueError(f"expected text, a table or a picture, found {output}")


def main(notebook: Path, page: Path) -> None:
    """Write the page."""
    title, *blocks = Notebook(notebook, page).list_blocks()
    link = f"This page shows a notebook with its outputs: [download it]({notebook.name})."
    heading, _, text = title.partition("\n")
    page.write_text("\n\n".join([heading, link, text.strip(), *blocks]) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
