"""The page's files: served whole, tagged by content, never stale, and nothing else beside them."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.pages import CONTENT_TYPES, page_files, page_routes

STATIC = Path(__file__).resolve().parents[3] / "api" / "static"


@pytest.fixture
async def client() -> AsyncIterator[TestClient[Any, Any]]:
    app = web.Application()
    app.add_routes(page_routes())
    async with TestClient(TestServer(app), auto_decompress=False) as opened:
        yield opened


def test_every_file_of_the_page_has_a_kind_that_is_served() -> None:
    lying = {path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file()}
    assert set(page_files()) == lying, f"known kinds: {', '.join(CONTENT_TYPES)}"


async def test_files_come_with_their_kind_and_a_tag_of_their_content(client: TestClient[Any, Any]) -> None:
    for path, name in (
        ("/", "index.html"),
        ("/static/lib/verify.js", "lib/verify.js"),
        ("/static/style.css", "style.css"),
    ):
        plain = await client.get(path, headers={"Accept-Encoding": "identity"})
        packed = await client.get(path, headers={"Accept-Encoding": "gzip, br"})
        whole = (STATIC / name).read_bytes()
        assert (plain.status, await plain.read()) == (200, whole)
        assert (packed.headers["Content-Encoding"], gzip.decompress(await packed.read())) == ("gzip", whole)
        assert plain.headers["ETag"] == packed.headers["ETag"]
        assert (plain.headers["Cache-Control"], plain.headers["Vary"]) == ("no-cache", "Accept-Encoding")
        assert plain.content_type == CONTENT_TYPES[Path(name).suffix]


async def test_what_a_browser_has_already_is_not_sent_again(client: TestClient[Any, Any]) -> None:
    tag = (await client.get("/static/app.js")).headers["ETag"]
    same = await client.get("/static/app.js", headers={"If-None-Match": f'"other", {tag}'})
    assert (same.status, await same.read(), same.headers["ETag"]) == (304, b"", tag)
    assert (await client.get("/static/app.js", headers={"If-None-Match": '"other"'})).status == 200


@pytest.mark.parametrize(
    "name", ["../rest.py", "%2e%2e/rest.py", "lib", "lib/", "lib//dom.js", "app.js/", "nothing.js", "%00"]
)
async def test_nothing_else_is_served(client: TestClient[Any, Any], name: str) -> None:
    assert (await client.get(f"/static/{name}")).status == 404


def test_no_page_has_script_or_style_of_its_own() -> None:
    """The policy forbids it: a page that had some would be broken."""
    for path in STATIC.rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html))


def test_no_module_parses_text_as_html() -> None:
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc")
    for path in STATIC.rglob("*.js"):
        assert not forbidden.search(path.read_text(encoding="utf-8")), path
