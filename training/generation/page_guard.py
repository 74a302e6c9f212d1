"""What requests to the page may do: name its own address, and upload into a folder of bounded size."""

import dataclasses
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from shards.interface.loopback import names_own_address

MAX_UPLOAD_BYTES = 100 * 2**20
"""Limit on one upload."""
MAX_FOLDER_BYTES = 2 * 2**30
"""Size of uploads and results above which the page takes no more uploads until it is started again."""

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Scope]]
_Send = Callable[[_Scope], Awaitable[None]]
_Application = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class PageGuard:
    """ASGI middleware that refuses requests with another address, and uploads where the folder is full."""

    app: _Application
    folder: Path
    """Holds uploads and results."""

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer 403 or 507, or pass the request on."""
        refusal = self._refuse(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        status, text = refusal
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})

    def _refuse(self, scope: _Scope) -> tuple[int, str] | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host, port = scope["server"]
        if not names_own_address(headers.get("host"), headers.get("origin"), port):
            return 403, f"this address is not allowed; use http://{host}:{port}"
        if scope["path"].rstrip("/").endswith("/upload") and _count_bytes(self.folder) > MAX_FOLDER_BYTES:
            return 507, "there are too many uploads; start pix2gif app again to remove them"
        return None


def _count_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
