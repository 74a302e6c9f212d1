"""What a Ray instance of the run's own needs: a private folder, a token, the loopback interface.

By default Ray listens on every interface, keeps its token in ~/.ray, where others may read it, and its session in
/tmp/ray, where everybody may write. Whoever has the token runs code as the user of the run.
"""

import contextlib
import functools
import logging
import os
import secrets
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from curation.errors import ClusterError

_MAX_SOCKET_PATH_BYTES = 103
"""Limit on the path of a Unix socket on macOS; it is 107 on Linux."""
_SOCKET_IN_SESSION = "/pix2gif-12345678/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest path that Ray makes, below the folder for temporary files."""
_LOOPBACK_TIMEOUT_S = 5.0
_START_ATTEMPTS = 4
_LOCAL_SETTINGS: dict[str, str | None] = {
    # Otherwise ray.init waits for the first workers, forever if one is killed before it registers (ray#40131).
    "RAY_prestart_worker_first_driver": "0",
    # Without a mode, Ray takes a token for every instance that it starts.
    "RAY_AUTH_MODE": None,
    "RAY_AUTH_TOKEN_PATH": None,
}
_LOCAL_OPTIONS = {
    "_node_ip_address": "127.0.0.1",
    "include_dashboard": False,
    # Ray's minimum. Only paths and counts pass through it.
    "object_store_memory": 80 * 2**20,
}
_WITHOUT_RAY = "or work without Ray: --workers 0"


def start_local_ray(ray: Any, cleanup: contextlib.ExitStack, options: dict[str, Any]) -> None:
    """Start Ray on this machine, in several attempts: it gives up on a busy machine after 30 seconds.

    `ray` is the module. `cleanup` gets what to undo after ray.shutdown. Raises ClusterError if Ray cannot start, and
    ends the processes that a failed or interrupted start leaves.
    """
    is_done = threading.Event()
    is_done.set()
    folder = cleanup.enter_context(_private_session(ray, is_done))
    for attempts_left in reversed(range(_START_ATTEMPTS)):
        try:
            with _end_processes_on_error(ray):
                init = functools.partial(init_ray, ray, address="local", _temp_dir=str(folder / "ray"), **options)
                call_in_thread(functools.partial(init, **_LOCAL_OPTIONS), cleanup, is_done)
                return
        except Exception as error:
            # Ray raises exceptions of several unrelated types here.
            ray.shutdown()
            if not attempts_left:
                raise ClusterError(
                    f"Ray does not start on this machine: {first_reason(error)}; the machine may be too busy: try "
                    f"again, {_WITHOUT_RAY}"
                ) from error


def init_ray(ray: Any, **options: Any) -> None:
    """Call ray.init without its messages."""
    ray.init(log_to_driver=False, logging_level="ERROR", **options)


def first_reason(error: Exception) -> str:
    """Return the first line of what an exception of Ray says."""
    message = getattr(error, "strerror", None) or str(error)
    return (message.strip().splitlines() or [type(error).__name__])[0].removesuffix(".")


@contextlib.contextmanager
def _private_session(ray: Any, is_done: threading.Event) -> Iterator[Path]:
    """Yield a new folder for Ray's session, which only this user can enter, and remove it afterwards.

    Ray's processes that start in the block get a token of their own and listen on the loopback interface. `is_done` is
    set while no start is under way. Raises ClusterError if Ray could not start here.
    """
    _check_loopback()
    constants, tokens = ray._private.ray_constants, ray._raylet.AuthenticationTokenLoader.instance()
    is_cluster_enabled = constants.ENABLE_RAY_CLUSTER
    with (
        tempfile.TemporaryDirectory(prefix="pix2gif-", dir=_find_short_folder(), ignore_cleanup_errors=True) as folder,
        _environment(_LOCAL_SETTINGS | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}, is_done),
    ):
        tokens.reset_cache()
        # Otherwise Ray replaces the loopback address by one that other machines can reach.
        constants.ENABLE_RAY_CLUSTER = False
        try:
            yield Path(folder)
        finally:
            if is_done.is_set():
                ray.shutdown()  # Before its token goes; an interrupted run may not have got there.
                constants.ENABLE_RAY_CLUSTER = is_cluster_enabled
                tokens.reset_cache()


@contextlib.contextmanager
def _end_processes_on_error(ray: Any) -> Iterator[None]:
    """End the processes that start in the block if it raises."""
    psutil = ray._private.utils.psutil
    others = psutil.Process().children()
    try:
        yield
    except BaseException:
        logging.getLogger("ray").setLevel(logging.CRITICAL)  # An interrupted start goes on and misses its processes.
        for process in set(psutil.Process().children(recursive=True)).difference(others):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        raise


@contextlib.contextmanager
def _environment(changes: Mapping[str, str | None], is_done: threading.Event) -> Iterator[None]:
    """Set or remove environment variables for the block.

    They stay if the block ends before `is_done` is set: an interrupted start goes on in its thread until the process
    ends, and Ray aborts the process, with a stack trace, if its token disappears.
    """
    before = {name: os.environ.get(name) for name in changes}

    def update(values: Mapping[str, str | None]) -> None:
        for name, value in values.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    update(changes)
    try:
        yield
    finally:
        if is_done.is_set():
            update(before)


def _find_short_folder() -> str:
    """Return a folder for temporary files whose path leaves room for Ray's sockets. Raises ClusterError."""
    max_bytes = _MAX_SOCKET_PATH_BYTES - len(_SOCKET_IN_SESSION)
    for folder in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 # Only the parent of a private folder.
        if len(os.fsencode(folder)) <= max_bytes and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise ClusterError(
        f"Ray needs a folder for temporary files with a path of {max_bytes} bytes or fewer, and can write to neither "
        f"such a TMPDIR nor /tmp; set TMPDIR to another folder, {_WITHOUT_RAY}"
    )


def _check_loopback() -> None:
    """Raise ClusterError if this machine cannot connect to itself: Ray would wait for minutes."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), _LOOPBACK_TIMEOUT_S).close()
    except OSError as error:
        raise ClusterError(
            f"Ray cannot start, because the loopback interface 127.0.0.1 does not work: {error.strerror or error}; "
            f"bring it up (ip link set lo up), {_WITHOUT_RAY}"
        ) from error


def call_in_thread(
    function: Callable[[], object], cleanup: contextlib.ExitStack, is_done: threading.Event | None = None
) -> None:
    """Call a function in a thread and wait; a signal ends the wait at once. Raises what the function raises.

    `is_done` is set when the function has returned. The thread lives until `cleanup`: on Linux, Ray's processes are
    killed with the thread that started them.
    """
    handler = signal.getsignal(signal.SIGTERM)
    errors: list[BaseException] = []
    is_done, end = is_done or threading.Event(), threading.Event()
    is_done.clear()
    cleanup.callback(end.set)

    def call() -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)
            return
        finally:
            is_done.set()
        end.wait()

    # A daemon: the interpreter does not wait for it at its end.
    threading.Thread(target=call, name="start-ray", daemon=True).start()
    is_done.wait()
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray's own handler would abort the process.
    if errors:
        raise errors[0]
