"""The node check, and runs on a cluster of three nodes, also when one is removed."""

import dataclasses
import hashlib
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.errors import ClusterError
from curation.run.node_check import SharedFiles, check_nodes, compare_node, read_node_state
from curation.run.workers import open_workers
from shards.storage.location import ObjectPath
from shards.verification.dataset import verify_dataset
from tests.bucket import read_bucket, upload_tree
from tests.curation.helpers import curate_command, read_contents, run_and_compare, wait_until


@pytest.fixture
def files(tmp_path: Path) -> SharedFiles:
    """One marker file and one GIF path, both visible."""
    (tmp_path / "marker").write_text("written by the driver")
    return SharedFiles(markers=(("--out /data/out", tmp_path / "marker"),), gifs=(__file__,))


def test_same_machine_passes(files):
    driver = read_node_state(files)
    assert (driver.markers, driver.missing_gifs) == (("written by the driver",), ())
    assert driver.code != hashlib.sha256(b"").hexdigest(), "no source file was read"
    compare_node("10.0.0.2", driver, driver, files)


def test_missing_files_are_part_of_the_state(tmp_path):
    missing = tmp_path / "missing"
    state = read_node_state(SharedFiles(markers=(("--cache", missing),), gifs=(str(missing), __file__)))
    assert (state.markers, state.missing_gifs) == ((None,), (str(missing),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"markers": (None,)}, "node 10.0.0.2 does not see --out /data/out; put it on a filesystem that all nodes"),
        ({"missing_gifs": ("/gifs/a.gif",)}, "node 10.0.0.2 does not see /gifs/a.gif; put the GIFs on a filesystem"),
        ({"code": "other"}, "node 10.0.0.2 has other source files of pix2gif than the driver"),
        ({"software": {"pillow": "1.0"}}, "node 10.0.0.2 has libjpeg_turbo None, the driver"),
    ],
)  # fmt: skip
def test_different_node_is_reported_with_a_remedy(files, change, message):
    driver = read_node_state(files)
    with pytest.raises(ClusterError, match="^" + message):
        compare_node("10.0.0.2", driver, dataclasses.replace(driver, **change), files)


def test_new_worker_checks_its_node_before_its_first_task(tmp_path):
    # Nested, so that Ray pickles it by value: workers cannot import the tests.
    def die_once(note: Path) -> None:
        if not note.exists():
            note.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    folders = {"--out /data/out": tmp_path}
    with open_workers(1) as workers, check_nodes(workers, folders, [__file__]):
        assert list(workers.map(abs, [-3])) == [3]
        (marker,) = tmp_path.iterdir()
        marker.unlink()
        assert list(workers.map(abs, [-4])) == [4], "a worker checks only once"
        with pytest.raises(ClusterError, match=f"node {socket.gethostname()} does not see --out /data/out; put it on"):
            list(workers.map(die_once, [tmp_path / "died"]))
    assert [path.name for path in tmp_path.iterdir()] == ["died"]


def test_node_without_store_access_is_reported_with_a_remedy(s3):
    files = SharedFiles(markers=(("--out s3://bucket/out", ObjectPath("s3://bucket/out/.work/marker")),), gifs=())
    node = read_node_state(files)
    assert node.markers == (None,)
    s3.put_object(Bucket="bucket", Key="out/.work/marker", Body=b"written by the driver")
    driver = read_node_state(files)
    assert driver.markers == ("written by the driver",)
    message = "node 10.0.0.2 does not see --out s3://bucket/out; give it the environment that this machine reaches"
    with pytest.raises(ClusterError, match="^" + message):
        compare_node("10.0.0.2", driver, node, files)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Three nodes of one core each, on this machine."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.spare = [nodes.add_node(num_cpus=1) for _ in range(2)]
    nodes.wait_for_nodes()
    yield nodes
    nodes.shutdown()


@pytest.mark.slow
def test_workers_nodes_and_interrupts_do_not_change_the_bytes(long_listing, undisturbed, tmp_path, cluster):
    for workers in range(3):
        run_and_compare(long_listing, tmp_path / str(workers), undisturbed, workers=workers)
    run_and_compare(long_listing, tmp_path / "cluster", undisturbed, "--ray-address", cluster.address)
    out = tmp_path / "interrupted"
    with subprocess.Popen(curate_command(long_listing, out), stderr=subprocess.PIPE, text=True) as process:
        assert wait_until(lambda: len(list(out.glob("flow/part-*"))) > 2, 120)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert not (out / "dataset.json").exists()
    run_and_compare(long_listing, out, undisturbed)


@pytest.mark.slow
def test_removed_node_costs_only_time(long_listing, undisturbed, tmp_path, cluster):
    out = tmp_path / "out"
    removed = []

    def remove_one() -> None:
        if wait_until(lambda: list(out.glob("flow/part-*")), 300):
            cluster.remove_node(cluster.spare[0], allow_graceful=False)
            removed.append(len(list(out.glob("flow/part-*"))))

    remover = threading.Thread(target=remove_one, daemon=True)
    remover.start()
    run_and_compare(long_listing, out, undisturbed, "--ray-address", cluster.address)
    remover.join()
    assert removed[0] < len(list(out.glob("flow/part-*"))), "the node was removed too late"


@pytest.mark.slow
def test_three_nodes_write_to_a_bucket(s3, request, long_listing, undisturbed, tmp_path):
    upload_tree(s3, long_listing.parent, "in")
    nodes = request.getfixturevalue("cluster")  # Nodes keep the environment that they start with.
    out = ObjectPath("s3://bucket/out")
    command = [*curate_command("s3://bucket/in/listing.tsv", out), "--ray-address", nodes.address]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stderr
    verify_dataset(out)
    assert read_bucket(s3) == read_contents(undisturbed)


def test_unreachable_cluster_is_reported_at_once(listing, tmp_path):
    command = [*curate_command(listing, tmp_path / "out"), "--ray-address", "127.0.0.1:1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: cannot join the Ray cluster at 127.0.0.1:1: Connection refused")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("address", ["nobody.invalid:6379", "[::1]:1"])
def test_address_of_any_form_is_reported_when_unreachable(address):
    with (
        pytest.raises(ClusterError, match="^" + re.escape(f"cannot join the Ray cluster at {address}: ")),
        open_workers(0, address=address) as workers,
    ):
        list(workers.map(abs, [1]))
