"""A bucket of moto's S3 service, in this process."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

_DETERMINED = ("train/", "val/", "flow/", "clips.parquet")
KEYS = {"AWS_ACCESS_KEY_ID": "drawn", "AWS_SECRET_ACCESS_KEY": "drawn", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="session")
def service() -> Iterator[str]:
    """Endpoint of an S3 service."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    address, port = server.get_host_and_port()
    yield f"http://{address}:{port}"
    server.stop()


@contextlib.contextmanager
def open_bucket(service: str) -> Iterator[Any]:
    """Yield a boto3 client of the service, with an empty bucket; our own code finds the service by the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": service}.items():
            patch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=service, region_name="us-east-1")
        client.create_bucket(Bucket="bucket")
        yield client
        for key in list_keys(client):
            client.delete_object(Bucket="bucket", Key=key)


@pytest.fixture
def s3(service: str) -> Iterator[Any]:
    """A bucket for one test."""
    with open_bucket(service) as client:
        yield client


def list_keys(s3: Any, prefix: str = "") -> list[str]:
    """Return the names of all objects."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
    return [kept["Key"] for page in pages for kept in page.get("Contents", [])]


def read(s3: Any, key: str) -> bytes:
    """Read an object with boto3."""
    return bytes(s3.get_object(Bucket="bucket", Key=key)["Body"].read())


def read_bucket(s3: Any, prefix: str = "out/") -> dict[str, bytes]:
    """Return the files that a run determines: shards, flow table, verdicts."""
    keys = [key for key in list_keys(s3, prefix) if not key.endswith("/")]
    names = [key.removeprefix(prefix) for key in keys]
    return {name: read(s3, f"{prefix}{name}") for name in names if name.startswith(_DETERMINED)}


def upload_tree(s3: Any, folder: Path, prefix: str) -> None:
    """Upload all files of a folder to names that start with a prefix."""
    for path in folder.rglob("*"):
        if path.is_file():
            s3.upload_file(str(path), "bucket", f"{prefix}/{path.relative_to(folder)}")
