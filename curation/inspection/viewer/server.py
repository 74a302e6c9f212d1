"""The pages of a data set's viewer, and the server that gives them to a browser on this machine."""

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pyarrow as pa
from aiohttp import web

from curation.errors import CurationError
from curation.inspection.sample_index import Filters, find_samples, read_picture
from curation.inspection.web.templates import allow_script, load_template, read_script
from shards.errors import StoreError
from shards.location import Location
from shards.manifest import Manifest
from shards.schema import sample_key

HOST = "127.0.0.1"
"""Nobody but this machine: the data may not be ours to show."""
PAGE_LENGTH = 24
_NAMES = (HOST, "localhost")


def make_app(out: Location, manifest: Manifest, index: pa.Table) -> web.Application:
    """Make the application: a page, an API that lists samples, and their pictures."""
    page, policy = _render_page(out, manifest)
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}

    async def show_page(request: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def list_samples(request: web.Request) -> web.Response:
        filters, number = _read_query(request)
        rows = find_samples(index, filters)
        shown = rows[number * PAGE_LENGTH : (number + 1) * PAGE_LENGTH].to_pylist()
        samples = [_describe(index, row) for row in shown]
        return web.json_response({"total": len(rows), "pages": -(-len(rows) // PAGE_LENGTH), "samples": samples})

    async def show_picture(request: web.Request) -> web.Response:
        row = int(request.match_info["row"])
        if row >= index.num_rows:
            raise web.HTTPNotFound(text=f"there is no sample {row}")
        try:
            picture, mime = read_picture(out, index, row, request.match_info["role"])
        except OSError as error:
            raise web.HTTPNotFound(text=f"{error.filename}: {error.strerror}") from error
        except StoreError as error:
            raise web.HTTPNotFound(text=str(error)) from error
        return web.Response(body=picture, content_type=mime, headers={"Cache-Control": "max-age=3600"})

    app = web.Application(middlewares=[_refuse_other_names])
    app.router.add_get("/", show_page)
    app.router.add_get("/samples", list_samples)
    app.router.add_get(r"/pictures/{row:\d{1,12}}/{role:source|target}", show_picture)
    return app


def bind(port: int) -> socket.socket:
    """Take the port, any free one for 0. Raises CurationError where another program has it."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise CurationError(f"port {port} is taken; choose another --port, or 0 for any that is free") from error
    return listener


def serve(app: web.Application, listener: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    web.run_app(app, sock=listener, print=None)


@web.middleware
async def _refuse_other_names(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse what was asked of another name: another site's page could lead such a name here and read the data."""
    if request.host.rpartition(":")[0] not in _NAMES:
        raise web.HTTPForbidden(text=f"this server answers to {' and '.join(_NAMES)} alone")
    return await handler(request)


def _read_query(request: web.Request) -> tuple[Filters, int]:
    """Read filters and the page's number. What is no number is answered with status 400."""
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


def _describe(index: pa.Table, row: int) -> dict[str, Any]:
    names = ("split", "shard", "clip_key", "caption", "source_index", "target_index", "gap_ms", "motion_px")
    told = {name: index[name][row].as_py() for name in names}
    return {"row": row, "key": sample_key(told["clip_key"], told["source_index"], told["target_index"]), **told}


def _render_page(out: Location, manifest: Manifest) -> tuple[str, str]:
    """Render the page; returns it and its policy, which allows it its own script and style, nothing from elsewhere."""
    script = read_script("web/browser.js", "viewer/browse.js")
    page = load_template("viewer/page.html.jinja").render(
        title=out.name,
        splits={name: entry.num_samples for name, entry in manifest.splits.items()},
        motion=[manifest.config.get(name, 0) for name in ("min_motion", "max_motion")],
        script=script,
    )
    sources = {
        "default-src": "'none'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "style-src": "'unsafe-inline'",
        "script-src": allow_script(script),
    }
    return page, "; ".join(f"{name} {value}" for name, value in sources.items())
