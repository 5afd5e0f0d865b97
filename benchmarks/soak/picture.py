"""The picture of the section: what the process holds after each product."""

from pathlib import Path

from benchmarks.plot import save
from benchmarks.product import MEGABYTE
from benchmarks.soak.results import Results


def draw(results: Results, path: Path) -> None:
    """Write the plot as SVG."""
    numbers = [one.number + 1 for one in results.serial]
    with save(path, figsize=(8, 3.2)) as figure:
        memory, counts = figure.subplots(1, 2)
        memory.set_title("memory (MB)")
        for label, name, colour in (
            ("resident", "memory", "#0072B2"),
            ("in use by malloc", "heap", "#56B4E9"),
        ):
            values = [getattr(x, name) / MEGABYTE for x in results.serial]
            memory.plot(numbers, values, color=colour, label=label)
        memory.legend(frameon=False)
        counts.set_title("open file descriptors, threads")
        counts.step(numbers, [x.files for x in results.serial], color="#D55E00", label="files")
        counts.step(numbers, [x.tasks for x in results.serial], color="#009E73", label="threads")
        counts.legend(frameon=False)
        for axis in (memory, counts):
            axis.set_ylim(bottom=0, top=1.3 * axis.get_ylim()[1])
            axis.set_xlabel("products")
