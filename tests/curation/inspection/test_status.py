"""`pix2gif status`: while a run is at work, after it was killed, and of a finished data set."""

import functools
import json
import os
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from curation.errors import OutputError
from curation.inspection.status import describe_run
from curation.run.status import STATUS, StatusFile, read_status
from shards.schema import Verdict
from tests.curation.helpers import curate_command, wait_until

VALUES = {"stages": {"listing": 1.5}, "stage": "measure", "stage_seconds": 10.0, "total": 400, "unit": "pairs"}


def write_status(out, process=None, num_done=100):
    """Write the status of a run of this process, or of another one."""
    file = StatusFile(out / ".work", "2", "pix2gif-curate tgif.tsv --out out")
    file.count_verdicts({Verdict.STILL: 3})
    (out / ".work").mkdir(parents=True, exist_ok=True)
    file.write({**VALUES, "num_done": num_done}, now=True)
    if process:
        record = json.loads((out / ".work" / STATUS).read_text())
        (out / ".work" / STATUS).write_text(json.dumps(record | {"process": record["process"] | process}))


def test_a_run_at_work_shows_its_stage_rate_time_left_and_verdicts(tmp_path):
    write_status(tmp_path)
    text = describe_run(tmp_path)
    assert f"running: process {os.getpid()} on" in text
    assert "100 of 400 pairs (25%), 10 pairs/s, 30.0 s left" in text
    assert "still                     3" in text
    assert "To resume" not in text


def test_of_a_killed_run_the_last_line_is_the_command_to_resume(tmp_path, monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.chdir(tmp_path)
    write_status(tmp_path, {"pid": ended.pid})
    assert describe_run(tmp_path).splitlines()[-1] == "To resume: pix2gif-curate tgif.tsv --out out"
    monkeypatch.chdir("/")
    assert describe_run(tmp_path).splitlines()[-1].endswith(f"cd {tmp_path} && pix2gif-curate tgif.tsv --out out")


def test_a_process_that_waits_for_its_parent_has_ended(tmp_path):
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    write_status(tmp_path, {"pid": zombie.pid})
    assert wait_until(lambda: "has ended" in describe_run(tmp_path), 10)
    zombie.wait()


def test_of_a_run_on_another_machine_the_last_sign_of_life_is_told(tmp_path):
    write_status(tmp_path, {"host": "node7", "machine": "another"})
    assert "on node7 last wrote" in describe_run(tmp_path)


def test_a_finished_data_set_shows_its_rows_by_verdict(dataset):
    assert not (dataset / ".work").exists()
    text = describe_run(dataset)
    assert "finished, 15 rows" in text
    assert "kept " in text
    assert "samples" in text


def test_a_folder_without_a_run_and_a_damaged_status_are_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="holds no data set, and no run"):
        describe_run(tmp_path)
    (tmp_path / ".work").mkdir()
    (tmp_path / ".work" / STATUS).write_text('{"stage": 1')
    with pytest.raises(OutputError, match="holds no data set, and no run"):
        describe_run(tmp_path)


def count_pairs(out):
    """Return the pairs of each finished part of the flow table."""
    return {path.name: pq.read_metadata(path).num_rows for path in out.glob("flow/part-*.parquet")}


@pytest.mark.slow
def test_at_ten_kills_the_status_is_right_but_for_the_work_in_flight(listing, tmp_path):
    out = tmp_path / "out"
    for kill in range(10):
        before = count_pairs(out)
        process = subprocess.Popen(curate_command(listing, out, workers=0))
        is_measuring = functools.partial(is_in_stage, out, process.pid, "measure")
        assert wait_until(lambda: is_measuring() or process.poll() is not None, 120)  # noqa: B023
        time.sleep(0.07 * kill)
        process.kill()
        process.wait()
        if process.returncode == 0:
            break
        status, parts = read_status(out / ".work"), count_pairs(out)
        if status.stage == "measure":
            measured = sum(parts.values()) - sum(before.values())
            assert 0 <= measured - status.num_done <= max(parts.values(), default=0)
        assert "stopped before it had finished" in describe_run(out)


def is_in_stage(out, pid, stage):
    status = read_status(out / ".work")
    return status is not None and status.process["pid"] == pid and status.stage == stage
