"""Runs whose OUT is in a bucket of moto's S3 service: faults at the requests of Arrow's client."""

import itertools
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import requests
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from shards.storage import object_path
from tests.bucket import KEYS
from tests.fault_injection.harness import Harness
from tests.fault_injection.preload import Fault

_OUT = "s3://bucket/out"
_REASONS = {Fault.REFUSED: "AWS Error ACCESS_DENIED", Fault.UNREACHABLE: "AWS Error NETWORK_CONNECTION"}


class StoreHarness(Harness):
    """A command that writes to a bucket."""

    def _find_out(self, folder: Path) -> str:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = ThreadedMotoServer(port=0, verbose=False)
        server.start()
        address, port = server.get_host_and_port()
        self._service = f"http://{address}:{port}"
        os.environ |= {**KEYS, "AWS_ENDPOINT_URL": self._service}
        self._s3 = boto3.client("s3", endpoint_url=self._service, region_name="us-east-1")
        return _OUT

    def _reset(self) -> None:
        requests.post(f"{self._service}/moto-api/reset", timeout=10)
        self._s3.create_bucket(Bucket="bucket")

    def _arm(self, number: int, fault: Fault | None, log_fd: int) -> None:
        injector = _Injector(number, fault, log_fd)
        open_store = object_path.open_store

        def open_faulty(location: str) -> tuple[Any, str]:
            store, path = open_store(location)
            return _FaultyStore(store, injector), path

        object_path.open_store = open_faulty  # type: ignore[assignment] # In a process of its own.

    def _read_files(self) -> dict[str, bytes]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix="out/")
        keys = [kept["Key"] for page in pages for kept in page.get("Contents", [])]
        return {
            key.removeprefix("out/"): self._s3.get_object(Bucket="bucket", Key=key)["Body"].read()
            for key in keys
            if not key.endswith("/")
        }

    def _list_names(self) -> set[str]:
        return {name for name in super()._list_names() if not name.startswith(".work/")}


class _Injector:
    """Counts requests and gives one of them a fault."""

    def __init__(self, number: int, fault: Fault | None, log_fd: int) -> None:
        self._target, self._fault, self._log_fd = number, fault, log_fd
        self._numbers = itertools.count(1)

    def call(self, what: str, request: Callable[[], Any]) -> Any:
        """Send a request, unless its fault comes before."""
        number = next(self._numbers)
        if self._log_fd >= 0:
            os.write(self._log_fd, f"request\t{what}\n".encode())
        fault = self._fault if number == self._target else None
        if fault is Fault.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault is Fault.ANSWER_LOST:
            request()
        if fault:
            raise OSError(_REASONS.get(fault, _REASONS[Fault.UNREACHABLE]))
        return request()


class _FaultyStore:
    """An Arrow filesystem whose requests pass the injector."""

    def __init__(self, store: Any, injector: _Injector) -> None:
        self._store, self._injector = store, injector

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            what = f"{name} {getattr(arguments[0], 'base_dir', arguments[0])}"
            return self._injector.call(what, lambda: getattr(self._store, name)(*arguments, **options))

        return call

    def open_output_stream(self, path: str, **options: Any) -> Any:
        """Open an object to write it."""
        return _FaultyUpload(lambda: self._store.open_output_stream(path, **options), path, self._injector)


class _FaultyUpload:
    """An object that is being written. Arrow sends it when it is closed, and nothing after an error."""

    def __init__(self, open_stream: Callable[[], Any], path: str, injector: _Injector) -> None:
        self._open_stream, self._path, self._injector = open_stream, path, injector

    def __enter__(self) -> "_FaultyUpload":
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._injector.call(f"close {self._path}", self._send)

    def write(self, data: Any) -> None:
        """Write bytes."""
        self._data = data

    def _send(self) -> None:
        with self._open_stream() as stream:
            stream.write(self._data)
