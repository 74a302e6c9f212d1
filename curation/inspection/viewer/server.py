"""Web server of the viewer: one page, an API that lists samples, and their pictures."""

import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pyarrow as pa
from aiohttp import web

from curation.errors import CurationError
from curation.inspection.sample_index import Filters, find_samples, read_picture
from curation.inspection.web.short_text import shorten
from curation.inspection.web.templates import csp_hash, load_template, read_scripts
from shards.errors import StoreError
from shards.interface.loopback import HOST, names_own_address
from shards.manifest import Manifest
from shards.schema import sample_key
from shards.storage.location import Location

PAGE_LENGTH = 24


def make_app(out: Location, manifest: Manifest, index: pa.Table) -> web.Application:
    """Create the application. `index` is the table of `sample_index.load_index`."""
    page, policy = _render_page(out, manifest)
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}

    async def show_page(request: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def list_samples(request: web.Request) -> web.Response:
        filters, number = _parse_query(request)
        rows = find_samples(index, filters)
        page_rows = rows[number * PAGE_LENGTH : (number + 1) * PAGE_LENGTH].to_pylist()
        samples = [_to_json(index, row) for row in page_rows]
        return web.json_response({"total": len(rows), "pages": -(-len(rows) // PAGE_LENGTH), "samples": samples})

    async def show_picture(request: web.Request) -> web.Response:
        row = int(request.match_info["row"])
        if row >= index.num_rows:
            raise web.HTTPNotFound(text=f"no sample {row}")
        try:
            picture, mime = read_picture(out, index, row, request.match_info["role"])
        except OSError as error:
            raise web.HTTPNotFound(text=f"{error.filename}: {error.strerror}") from error
        except StoreError as error:
            raise web.HTTPNotFound(text=str(error)) from error
        return web.Response(body=picture, content_type=mime, headers={"Cache-Control": "max-age=3600"})

    app = web.Application(middlewares=[_check_host])
    app.router.add_get("/", show_page)
    app.router.add_get("/samples", list_samples)
    app.router.add_get(r"/pictures/{row:\d{1,12}}/{role:source|target}", show_picture)
    return app


def bind(port: int) -> socket.socket:
    """Return a socket that listens on the loopback interface; port 0 picks a free one.

    Raises CurationError if the port cannot be used.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise CurationError(f"port {port} {reason}; choose another --port, or 0 for a free one") from error
    return listener


def serve(app: web.Application, listener: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    web.run_app(app, sock=listener, print=None)


@web.middleware
async def _check_host(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Reject requests that name another address: a page of another site must not read the data."""
    port = request.transport.get_extra_info("sockname")[1] if request.transport else 0
    if not names_own_address(request.headers.get("Host"), request.headers.get("Origin"), port):
        raise web.HTTPForbidden(text=f"this address is not allowed; use http://{HOST}:{port}")
    return await handler(request)


def _parse_query(request: web.Request) -> tuple[Filters, int]:
    """Parse the filters and the page number. Raises HTTPBadRequest if a number is not valid."""
    query = request.query
    try:
        filters = Filters(
            split=query.get("split", ""),
            min_motion=float(query.get("min") or 0),
            max_motion=float(query.get("max") or "inf"),
            text=query.get("text", ""),
        )
        return filters, max(0, int(query.get("page") or 0))
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


def _to_json(index: pa.Table, row: int) -> dict[str, Any]:
    names = ("split", "shard", "clip_key", "caption", "source_index", "target_index", "gap_ms", "motion_px")
    fields = {name: index[name][row].as_py() for name in names}
    fields["caption"] = shorten(fields["caption"])
    return {"row": row, "key": sample_key(fields["clip_key"], fields["source_index"], fields["target_index"]), **fields}


def _render_page(out: Location, manifest: Manifest) -> tuple[str, str]:
    """Return the page and its Content-Security-Policy, which allows nothing from other hosts."""
    script = read_scripts("web/browser.js", "viewer/browse.js")
    page = load_template("viewer/page.html.jinja").render(
        title=out.name,
        splits={name: entry.num_samples for name, entry in manifest.splits.items()},
        motion_range_px=[manifest.config.get(name, 0) for name in ("min_motion", "max_motion")],
        script=script,
    )
    sources = {
        "default-src": "'none'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "style-src": "'unsafe-inline'",
        "script-src": csp_hash(script),
    }
    return page, "; ".join(f"{name} {value}" for name, value in sources.items())
