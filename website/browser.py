"""``python -m website.browser SITE SCREENS``: look at each page of the site in Chromium.

The browser reaches the site on 127.0.0.1 and nothing else. A page is right if it has its heading,
every diagram is drawn, every link within the site leads somewhere, and nothing fails or is fetched
from elsewhere. What it looks like is for a person to judge, by the screenshots.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SETTINGS = Path(__file__).with_name("zensical.toml")
WAIT = 30_000  # milliseconds, for a machine that is busy
# The theme draws each diagram where no script gets at it; so all such places are opened.
OPEN = """
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function () { return attach.call(this, { mode: "open" }); };
"""
DRAWN = """
() => [...document.querySelectorAll(".mermaid")]
  .map(host => host.shadowRoot?.querySelector("svg"))
  .filter(svg => svg && svg.getAttribute("aria-roledescription") !== "error"
    && svg.getBoundingClientRect().width > 50 && svg.getBoundingClientRect().height > 20)
  .length
"""
WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@dataclass
class Document(HTMLParser):
    """What a page holds: ids, links, diagrams.

    Attributes:
        ids: that links may lead to.
        links: as they are written.
        diagrams: how many.
    """

    text: str
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    diagrams: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of an element."""
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        self.links += [found[name] for name in ("href", "src") if name in found]
        self.diagrams += "mermaid" in found.get("class", "").split()


def list_nav(nav: list[Any]) -> Iterator[tuple[str, str]]:
    """Return title and page of each entry of the navigation."""
    for entry in nav:
        ((title, inner),) = entry.items()
        if isinstance(inner, list):
            yield from list_nav(inner)
        else:
            yield title, inner.replace(".md", ".html")


def check_links(site: Path) -> list[str]:
    """Return what is wrong with the links within the site."""
    documents = {
        path.relative_to(site).as_posix(): Document(path.read_text())
        for path in site.rglob("*.html")
        if path.name != "404.html"  # whose links are from wherever it is shown
    }
    wrong = []
    for name, document in documents.items():
        for link in document.links:
            parts = urlsplit(urljoin(f"http://site.invalid/{name}", link))
            if parts.hostname != "site.invalid":
                continue
            target = unquote(parts.path).lstrip("/") or "index.html"
            if not (site / target).is_file():
                wrong.append(f"{name}: expected a file for {link}, found none")
            elif parts.fragment and unquote(parts.fragment) not in _get_ids(documents, target):
                wrong.append(f"{name}: expected an anchor for {link}, found none")
    return wrong


def _get_ids(documents: dict[str, Document], name: str) -> set[str]:
    return documents[name].ids if name in documents else set()


def check_page(page: Page, origin: str, name: str, diagrams: int) -> list[str]:
    """Open a page, wait for its diagrams, and return what is wrong with it.

    Args:
        page: of the browser.
        origin: of the site.
        name: the page's file.
        diagrams: how many it is to show.
    """
    wrong: list[str] = []
    listen = (
        ("console", lambda said: said.type in {"error", "warning"} and wrong.append(said.text)),
        ("pageerror", lambda error: wrong.append(f"a script failed: {error}")),
        ("requestfailed", lambda asked: wrong.append(f"{asked.url}: {asked.failure}")),
        ("response", lambda got: got.status >= 400 and wrong.append(f"{got.url}: {got.status}")),
        ("request", lambda asked: _is_foreign(asked.url, origin) and wrong.append(asked.url)),
    )
    for event, heed in listen:
        page.on(event, heed)  # type: ignore[call-overload]
    page.goto(f"{origin}/{name}", wait_until="networkidle", timeout=WAIT)
    heading = page.locator("article h1")
    if heading.count() != 1 or not heading.inner_text().strip("¶ \n"):
        wrong.append(f"expected one heading, found {heading.count()}")
    if diagrams:
        try:
            page.wait_for_function(f"({DRAWN})() === {diagrams}", timeout=WAIT)
        except Exception as error:
            drawn = page.evaluate(DRAWN)
            wrong.append(f"expected {diagrams} diagrams, found {drawn} drawn: {error}")
    for event, heed in listen:
        page.remove_listener(event, heed)
    return [f"{name}: {what}" for what in wrong]


def check_search(page: Page, origin: str, words: str, title: str) -> list[str]:
    """Search, and return what is wrong with what is found.

    Args:
        page: of the browser.
        origin: of the site.
        words: to search for.
        title: of the page that is to be found by them.
    """
    page.goto(f"{origin}/index.html", wait_until="networkidle", timeout=WAIT)
    page.keyboard.press("Control+k")
    try:
        page.get_by_role("combobox", name="Search").fill(words, timeout=WAIT)
        found = page.get_by_role("option").filter(has_text=title)
        found.first.wait_for(state="visible", timeout=WAIT)
    except Exception as error:
        return [f"search: expected {title} to be found by {words!r}: {error}"]
    return []


def _is_foreign(url: str, origin: str) -> bool:
    return not url.startswith((f"{origin}/", "data:", "blob:"))


@contextmanager
def serve(site: Path) -> Iterator[str]:
    """Serve a folder on 127.0.0.1."""
    handler = partial(_Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def start_browser() -> Iterator[Browser]:
    """Start the system's Chromium, without a way out of this machine."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        sys.exit("expected chromium on PATH, found none: install it, or set CHROMIUM to its path")
    # Its sandbox can't be had by root, nor in most containers.
    options = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=options, chromium_sandbox=os.geteuid() != 0
        )
        try:
            yield browser
        finally:
            browser.close()


def main(site: Path, screens: Path) -> int:
    """Look at all pages.

    Args:
        site: what was built.
        screens: where the screenshots go; emptied first.

    Returns:
        How many things are wrong.
    """
    shutil.rmtree(screens, ignore_errors=True)
    screens.mkdir(parents=True)
    nav = [*list_nav(tomllib.loads(SETTINGS.read_text())["project"]["nav"])]
    wrong = check_links(site)
    wrong += [f"{name}: expected this page" for _, name in nav if not (site / name).is_file()]
    nav = [(title, name) for title, name in nav if (site / name).is_file()]
    unlisted = {path.name for path in site.glob("*.html")} - {page for _, page in nav}
    wrong += [f"{name}: expected it in the navigation" for name in unlisted - {"404.html"}]
    drawn = 0
    with serve(site) as origin, start_browser() as browser:
        for scheme, width in (("light", 1280), ("dark", 1280), ("light", 400)):
            page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
            page.add_init_script(OPEN)
            for _, name in nav:
                diagrams = Document((site / name).read_text()).diagrams
                found = check_page(page, origin, name, diagrams)
                if (beyond := page.evaluate(WIDE)) > 0:
                    found.append(f"{name}: {beyond} pixels wider than a window of {width}")
                wrong += found
                drawn += 0 if found else diagrams
                suffix = "" if (scheme, width) == ("light", 1280) else f"-{scheme}-{width}"
                page.screenshot(path=screens / f"{Path(name).stem}{suffix}.png", full_page=True)
            page.close()
        page = browser.new_page()
        page.add_init_script(OPEN)
        wrong += check_search(page, origin, "certificate", "Troubleshooting")
    print(*wrong, sep="\n", file=sys.stderr)
    print(f"{len(nav)} pages, in light, dark and narrow; {drawn} diagrams; {len(wrong)} wrong")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])) > 0)
