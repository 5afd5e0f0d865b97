from pathlib import Path

import pytest
import requests

from sandbox.server import Sandbox
from tests.sandbox.client import Client


class TestDownload:
    def test_catalogue_redirects(self, sandbox: Sandbox, client: Client) -> None:
        for url in (client.zip, client.band):
            response = client.get(url.replace(sandbox.download, sandbox.catalogue))
            assert (response.status_code, response.headers["Location"]) == (301, url)

    def test_redirect_to_another_port_drops_the_token(
        self, sandbox: Sandbox, client: Client
    ) -> None:
        url = client.zip.replace(sandbox.download, sandbox.catalogue)
        response = client.get(url, allow_redirects=True)
        assert (response.status_code, response.json()["code"]) == (401, "DAT-ZIP-604")

    def test_file(self, client: Client, content: bytes) -> None:
        response = client.get(client.band, headers={"Range": "bytes=5-9"})
        assert response.status_code == 200
        assert response.content == content
        assert response.headers["Content-Length"] == str(len(content))
        assert "B04.jp2" in response.headers["Content-Disposition"]

    def test_empty_file_and_empty_folder(self, client: Client) -> None:
        assert client.get(f"{client.node('rep_info/empty.xsd')}/$value").content == b""
        assert client.get(f"{client.node('HTML')}/$value").status_code == 404

    def test_token_in_the_query(self, sandbox: Sandbox, client: Client) -> None:
        response = client.get(client.band, token="", params={"token": sandbox.mint()})
        assert response.status_code == 200

    def test_head(self, sandbox: Sandbox, client: Client) -> None:
        headers = {"Authorization": f"Bearer {sandbox.mint()}"}
        response = requests.head(client.zip, headers=headers, timeout=10)
        size = sandbox.products[0].archive().size
        assert (response.status_code, response.headers["Content-Length"]) == (200, str(size))

    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            ("bytes=5-9", slice(5, 10)),
            ("bytes=100-", slice(100, None)),
            ("bytes=-7", slice(-7, None)),
        ],
    )
    @pytest.mark.parametrize("whole", [True, False])
    def test_ranges(
        self, sandbox: Sandbox, client: Client, header: str, expected: slice, whole: bool
    ) -> None:
        sandbox.ranges = True
        url = client.zip if whole else client.band
        full = client.get(url)
        part = client.get(url, headers={"Range": header, "If-Range": full.headers["ETag"]})
        assert part.status_code == 206
        assert part.content == full.content[expected]
        start, end, _ = expected.indices(len(full.content))
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(full.content)}"

    def test_ranges_that_do_not_apply(self, sandbox: Sandbox, client: Client) -> None:
        sandbox.ranges = True
        assert client.get(client.band, headers={"Range": "bytes=9999999-"}).status_code == 416
        stale = {"Range": "bytes=5-9", "If-Range": '"another"'}
        assert client.get(client.band, headers=stale).status_code == 200


class TestNodes:
    def test_tree(self, client: Client, safe: Path) -> None:
        found = {}

        def walk(uri: str, folder: str) -> None:
            for entry in requests.get(uri, timeout=10).json()["result"]:
                path = f"{folder}/{entry['Name']}"
                found[path] = (entry["Id"], entry["ContentLength"], entry["ChildrenNumber"])
                walk(entry["Nodes"]["uri"], path)

        walk(f"{client.node()}/Nodes", "")
        expected = {}
        for path in (safe, *safe.rglob("*")):
            size, children = (
                (0, len(list(path.iterdir()))) if path.is_dir() else (path.stat().st_size, 0)
            )
            relative = path.relative_to(safe.parent).as_posix()
            expected[f"/{relative}"] = (path.name, size, children)
        assert found == expected

    @pytest.mark.parametrize(
        ("path", "status", "code"),
        [
            ("/odata/v1/Products({uuid})/Nodes('{name}')/Nodes", 400, "DAT-ZIP-104"),
            ("/odata/v1/Products({uuid})/Nodes({name}", 400, "DAT-ZIP-104"),
            ("/odata/v1/Products({uuid})/Nodes({name})/Nodes(..)/Nodes", 404, "DAT-ZIP-101"),
            ("/odata/v1/Products({uuid})/Nodes(other.SAFE)/Nodes", 404, "DAT-ZIP-101"),
            ("/odata/v1/Products({uuid[0]})/Nodes", 422, None),
            ("/odata/v1/Products(01234567-89ab-cdef-0123-456789abcdef)/Nodes", 404, "DAT-ZIP-101"),
        ],
    )
    def test_missing_node(self, sandbox: Sandbox, path: str, status: int, code: str | None) -> None:
        product = sandbox.products[0]
        url = sandbox.download + path.format(uuid=product.uuid, name=product.name)
        response = requests.get(url, timeout=10)
        assert (response.status_code, response.json().get("code")) == (status, code)


def test_pages(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"from disk")
    sandbox.pages["/x.json"] = b"{}"
    sandbox.pages["/list"] = [1]
    sandbox.pages["/file"] = file
    get = [requests.get(sandbox.stac + path, timeout=10) for path in sandbox.pages]
    assert [response.content for response in get] == [b"{}", b"[1]", b"from disk"]
    assert get[0].headers["Content-Type"] == "application/json"
