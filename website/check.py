"""Check each page of the site in Chromium: `python check.py SITE SCREENSHOTS`.

A page needs one heading, all of its diagrams in a size that can be read, links that lead to files
of the site, and a place in the navigation. It must fit the window, log no errors, and request
nothing from another host. Searches must find the page that answers them. The screenshots are for a
person to look at.
"""

import mimetypes
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote_plus, unquote, urlsplit

from playwright.sync_api import Error, Locator, Page, Route, expect, sync_playwright

ORIGIN = "http://site.invalid"
VIEWS = (("light", 1280), ("dark", 1280), ("light", 400))
TIMEOUT = 30_000  # milliseconds
ATTEMPTS = 10  # to open the search
MIN_SCALE = 0.6  # of a diagram, whose text has 16 pixels at a scale of 1
# Words to search for, and the page that has to be among the results.
SEARCHES = {
    "429": "troubleshooting",
    "certificate": "troubleshooting",
    "proxy": "troubleshooting",
    "Python API": "docs/api",
}
# The theme draws each diagram in a closed shadow root, which locators can't enter.
OPEN_SHADOW_ROOTS = """
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function () { return attach.call(this, { mode: "open" }); };
"""
LINKS = "links => links.map(link => link.href)"
SCALE = "drawing => drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width"
EXCESS_WIDTH = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Checker:
    """Opens pages, and collects what is wrong with them.

    Attributes:
        problems: one line for each.
        diagrams: how many were drawn.
    """

    def __init__(self, site: Path, page: Page) -> None:
        self.site = site
        self.page = page
        self.problems: list[str] = []
        self.diagrams = 0
        page.add_init_script(OPEN_SHADOW_ROOTS)
        page.route("**/*", self._answer)
        page.on("pageerror", lambda error: self._report(f"A script failed: {error}"))
        page.on("console", lambda message: message.type == "error" and self._report(message.text))

    def _report(self, problem: str) -> None:
        self.problems.append(f"{self.page.url.removeprefix(ORIGIN)}: {problem}")

    def _find(self, url: str) -> Path:
        return self.site / unquote(urlsplit(url).path).lstrip("/")

    def _answer(self, route: Route) -> None:
        """Answer a request with a file of the site."""
        url = route.request.url
        path = self._find(url)
        if url.startswith(f"{ORIGIN}/") and path.is_file():
            route.fulfill(body=path.read_bytes(), content_type=mimetypes.guess_type(path)[0])
        else:
            self._report(f"Expected requests for files of the site, found {url}.")
            route.abort()

    def check(self, name: str) -> None:
        """Check a page."""
        self.page.goto(f"{ORIGIN}/{name}", wait_until="networkidle", timeout=TIMEOUT)
        if (headings := self.page.locator("article h1").count()) != 1:
            self._report(f"Expected one heading, found {headings}.")
        if (excess := self.page.evaluate(EXCESS_WIDTH)) > 0:
            self._report(f"Expected a page that fits the window, found {excess} pixels too many.")
        for url in self.page.locator("a[href]").evaluate_all(LINKS):
            if url.startswith(ORIGIN) and not self._find(url).is_file():
                self._report(f"Expected a link to a file of the site, found {url}.")
        for diagram in self.page.locator(".mermaid").all():
            try:
                drawing = diagram.locator("svg:not([aria-roledescription=error])").first
                expect(drawing).to_be_visible(timeout=TIMEOUT)
                if (scale := drawing.evaluate(SCALE)) < MIN_SCALE:
                    self._report(f"Expected a diagram that can be read, found a scale of {scale}.")
                self.diagrams += 1
            except AssertionError as error:
                self._report(f"Expected a diagram: {error}")

    def search(self, searches: Mapping[str, str]) -> None:
        """Check that a search for some words finds a page."""
        self.page.goto(f"{ORIGIN}/index.html", wait_until="networkidle", timeout=TIMEOUT)
        box = self.page.get_by_role("combobox", name="Search")
        for words, name in searches.items():
            # The results of the words before have other addresses.
            found = self.page.locator(f'[role=option][href*="{name}.html?h={quote_plus(words)}"]')
            try:
                self._open_search(box)
                box.fill(words, timeout=TIMEOUT)
                expect(found.first).to_be_visible(timeout=TIMEOUT)
            except (AssertionError, Error) as error:
                reason = str(error).partition("\n")[0]
                self._report(f"Expected a search for {words!r} to find {name}: {reason}")

    def _open_search(self, box: Locator) -> None:
        """Open the search; the page ignores the keys until its scripts have started."""
        for _ in range(ATTEMPTS):
            if box.is_visible():
                return
            self.page.keyboard.press("Control+k")
            with suppress(AssertionError):
                expect(box).to_be_visible(timeout=TIMEOUT / ATTEMPTS)


def main(site: Path, screenshots: Path) -> None:
    """Check all pages in each view."""
    shutil.rmtree(screenshots, ignore_errors=True)
    names = [path.relative_to(site).as_posix() for path in site.rglob("*.html")]
    names.remove("404.html")
    problems, diagrams = [], 0
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    # Chromium's sandbox is not available to root.
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=program, chromium_sandbox=os.geteuid() != 0
        ) as browser,
    ):
        for scheme, width in VIEWS:
            size = {"width": width, "height": 900}
            checker = Checker(site, browser.new_page(color_scheme=scheme, viewport=size))
            for name in sorted(names):
                checker.check(name)
                picture = screenshots / f"{scheme}-{width}" / f"{name}.png"
                checker.page.screenshot(path=picture, full_page=True)
            checker.search(SEARCHES)
            listed = checker.page.locator(".md-nav a").evaluate_all(LINKS)
            unlisted = set(names) - {urlsplit(url).path.lstrip("/") for url in listed}
            problems += [
                *checker.problems,
                *(f"{name} is not in the navigation." for name in unlisted),
            ]
            diagrams += checker.diagrams
    print(*problems, sep="\n", file=sys.stderr)
    print(
        f"{len(names)} pages in {len(VIEWS)} views; {diagrams} diagrams; {len(problems)} problems"
    )
    sys.exit(bool(problems))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
