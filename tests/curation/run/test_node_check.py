"""A cluster's nodes are looked at before work begins; three of them make the same bytes, also when one goes."""

import dataclasses
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.errors import ClusterError
from curation.run.node_check import Look, _compare, look_around, watch_nodes
from curation.run.workers import open_workers
from shards.location import ObjectPath
from shards.verify import verify_dataset
from tests.bucket import read_bucket, upload_tree
from tests.curation.helpers import contents, finish, wait_until, words


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """A folder that the driver wrote to."""
    (tmp_path / "token").write_text("written by the driver")
    return Look(tokens=(("--out /data/out", tmp_path / "token"),), gifs=(__file__,))


def test_a_machine_agrees_with_itself(look):
    here = look_around(look)
    assert (here.tokens, here.missing) == (("written by the driver",), ())
    _compare("10.0.0.2", here, here, look)


def test_what_a_process_does_not_see_it_says(tmp_path):
    lost = tmp_path / "lost"
    seen = look_around(Look(tokens=(("--cache", lost),), gifs=(str(lost), __file__)))
    assert (seen.tokens, seen.missing) == ((None,), (str(lost),))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tokens": (None,)}, "node 10.0.0.2 does not see --out /data/out; put it on a filesystem that all nodes"),
        ({"missing": ("/gifs/a.gif",)}, "node 10.0.0.2 does not see /gifs/a.gif; put the GIFs on a filesystem"),
        ({"code": "other"}, "node 10.0.0.2 has other sources of pix2gif than the driver"),
        ({"software": {"pillow": "1.0"}}, "node 10.0.0.2 has libjpeg_turbo None, the driver"),
    ],
)  # fmt: skip
def test_a_node_that_cannot_do_the_work_is_named_with_what_to_do(look, change, sentence):
    here = look_around(look)
    with pytest.raises(ClusterError, match="^" + sentence):
        _compare("10.0.0.2", here, dataclasses.replace(here, **change), look)


def test_a_worker_that_comes_later_looks_around_before_its_first_task(tmp_path):
    # Inside the test, so that Ray ships it by value: workers cannot import the tests.
    def die_once(note: Path) -> None:
        if not note.exists():
            note.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    folders = {"--out /data/out": tmp_path}
    with open_workers(1) as workers, watch_nodes(workers, folders, [__file__]):
        assert list(workers.map(abs, [-3])) == [3]
        (token,) = tmp_path.iterdir()
        token.unlink()
        assert list(workers.map(abs, [-4])) == [4], "the same worker looks no second time"
        with pytest.raises(ClusterError, match=f"node {socket.gethostname()} does not see --out /data/out; put it on"):
            list(workers.map(die_once, [tmp_path / "died"]))
    assert [path.name for path in tmp_path.iterdir()] == ["died"]


def test_a_node_that_does_not_reach_the_store_is_named_with_what_to_do(s3):
    look = Look(tokens=(("--out s3://bucket/out", ObjectPath("s3://bucket/out/.work/token")),), gifs=())
    blind = look_around(look)
    assert blind.tokens == (None,)
    s3.put_object(Bucket="bucket", Key="out/.work/token", Body=b"written by the driver")
    here = look_around(look)
    assert here.tokens == ("written by the driver",)
    sentence = "node 10.0.0.2 does not see --out s3://bucket/out; give it the environment that this machine reaches"
    with pytest.raises(ClusterError, match="^" + sentence):
        _compare("10.0.0.2", here, blind, look)


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
def test_none_one_and_two_workers_three_nodes_and_an_interrupted_run_make_the_same_bytes(
    many, undisturbed, tmp_path, cluster
):
    for workers in range(3):
        finish(many, tmp_path / str(workers), undisturbed, workers=workers)
    finish(many, tmp_path / "cluster", undisturbed, "--ray-address", cluster.address)
    out = tmp_path / "interrupted"
    with subprocess.Popen(words(many, out), stderr=subprocess.PIPE, text=True) as process:
        assert wait_until(lambda: len(list(out.glob("flow/part-*"))) > 2, 120)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert not (out / "dataset.json").exists()
    finish(many, out, undisturbed)


@pytest.mark.slow
def test_a_node_that_is_removed_costs_time_alone(many, undisturbed, tmp_path, cluster):
    out = tmp_path / "out"
    removed = []

    def remove_one() -> None:
        if wait_until(lambda: list(out.glob("flow/part-*")), 300):
            cluster.remove_node(cluster.spare[0], allow_graceful=False)
            removed.append(len(list(out.glob("flow/part-*"))))

    remover = threading.Thread(target=remove_one, daemon=True)
    remover.start()
    finish(many, out, undisturbed, "--ray-address", cluster.address)
    remover.join()
    assert removed[0] < len(list(out.glob("flow/part-*"))), "it went while parts were missing"


@pytest.mark.slow
def test_a_cluster_of_three_nodes_works_in_a_bucket(s3, request, many, undisturbed, tmp_path):
    upload_tree(s3, many.parent, "in")
    nodes = request.getfixturevalue("cluster")  # Now, as nodes keep the environment that they start with.
    out = ObjectPath("s3://bucket/out")
    command = [*words("s3://bucket/in/listing.tsv", out), "--ray-address", nodes.address]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stderr
    verify_dataset(out)
    assert read_bucket(s3) == contents(undisturbed)


@pytest.mark.parametrize(
    ("address", "reason"), [("127.0.0.1:1", "Connection refused"), ("nobody.invalid:6379", ""), ("[::1]:1", "")]
)
def test_a_cluster_that_does_not_answer_is_told_at_once_in_one_sentence(listing, tmp_path, address, reason):
    command = [*words(listing, tmp_path / "out"), "--ray-address", address]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: no Ray cluster can be joined at {address}: {reason}")
    assert ended.stderr.count("\n") == 1
