"""What the README shows is what there is."""

import re

from benchmarks.tables import Row, Rows, get_speedup, read_rows
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def test_figures_are_those_that_were_measured() -> None:
    """Each figure of the table is one of the results, and each that it must have is there."""
    table = read_table("A product of 500 MB")
    assert list(table.pop("")) == ["stage-in", "`curl`, `unzip`", "`requests`, `zipfile`"]
    measured = dict(zip(table, make_figures(read_rows()), strict=False))
    assert {row: table[row] for row in measured} == measured
    words = [row for row in table if row not in measured]
    assert words == ["checked", "leaves"]
    assert not re.search(r"\d", "".join("".join(table[row]) for row in words))


def test_as_fast_as_it_says() -> None:
    rows = read_rows()
    faster = {
        world: get_speedup(rows, rows[world, 500, "nodes"]) for world in ("limits", "lag", "free")
    }
    assert "three times as fast where the platform grants four" in " ".join(README.split())
    assert round(faster["limits"] or 0) == 3
    assert all(0.9 < (faster[world] or 0) < 1.1 for world in ("lag", "free"))


def read_table(before: str) -> dict[str, list[str]]:
    """The first table after some words: its cells by its first column."""
    lines = README.partition(before)[2].splitlines()
    table = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    end = next(number for number, row in enumerate(table) if "to …" in row[0])
    rows = [[cell.strip() for cell in row] for row in (table[0], *table[2:end])]
    return {first: cells for first, *cells in rows}


def make_figures(rows: Rows) -> list[list[str]]:
    """The rows of figures, as they have to be."""
    whole = ("nodes", "curl", "tutorial")

    def get(who: str, world: str = "limits") -> Row:
        return rows[world, 500, who]

    return [
        [f"{get(who).wall:.1f} s" for who in whole],
        [f"{get('bands').wall:.1f} s", "no", "no"],
        [f"{get(who, 'lag').wall:.1f} s" for who in whole],
        [f"{get(who, 'free').wall:.1f} s" for who in whole],
        [f"{get(who).disk / get(who).wanted:.1f}" for who in whole],
        [f"{get(who, 'lag').disk / get(who, 'lag').wanted:.1f}" for who in whole],
        [f"{get(who).memory / 1e6:.0f} MB" for who in whole],
    ]
