"""The page's files, served from memory: known names only, each with a tag of its content.

A browser keeps them and asks each time whether they are still so (``no-cache``): an upgraded node is never met by
yesterday's modules, and what is unchanged costs no bytes. Nodes of one release serve the same under the same tags.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from aiohttp import web
from aiohttp.web_exceptions import HTTPNotFound

from api.connections import expected

CONTENT_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
"""Whatever else lies beside the page is not served."""
TAG_CHARS = 32
PAGES = {"/": "index.html", "/docs": "docs/index.html"}
STATIC = "/static/"


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent, plain or compressed; ``tag`` names its content."""

    body: bytes
    compressed: bytes
    tag: str
    content_type: str


def page_routes() -> list[web.RouteDef]:
    """The routes of the page: its own addresses, and ``/static/`` for what it loads."""
    handlers = [*((path, _page) for path in PAGES), (STATIC + "{name:.+}", _static)]
    return [web.get(path, handler, expect_handler=expected) for path, handler in handlers]


async def _page(request: web.Request) -> web.Response:
    return _respond(request, PAGES[request.path])


async def _static(request: web.Request) -> web.Response:
    return _respond(request, request.match_info["name"])


def _respond(request: web.Request, name: str) -> web.Response:
    file = page_files().get(name)
    if file is None:
        raise HTTPNotFound
    headers = {"Cache-Control": "no-cache", "ETag": f'W/"{file.tag}"', "Vary": "Accept-Encoding"}
    if any(tag.value in (file.tag, "*") for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    body = file.body
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = file.compressed
    return web.Response(body=body, headers=headers, content_type=file.content_type, charset="utf-8")


@cache
def page_files() -> dict[str, File]:
    """All files of the page by their names below ``api/static``."""
    found: dict[str, File] = {}
    _gather(files("api") / "static", "", found)
    return found


def _gather(directory: Traversable, prefix: str, found: dict[str, File]) -> None:
    for entry in directory.iterdir():
        name = prefix + entry.name
        if entry.is_dir():
            _gather(entry, name + "/", found)
        elif content_type := CONTENT_TYPES.get(entry.name[entry.name.rfind(".") :]):
            body = entry.read_bytes()
            found[name] = File(body, gzip.compress(body, mtime=0), sha256(body).hexdigest()[:TAG_CHARS], content_type)
