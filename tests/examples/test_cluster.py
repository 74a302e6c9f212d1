"""The examples for clusters: the tools accept the files, and the script runs with fake commands of Slurm."""

import os
import re
import secrets
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli import curate_app
from tests.curation.helpers import shard_hashes

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "cluster"
_SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do
    [[ $1 == --overlap ]] && shift || shift 2
done
exec "$@"
"""
_SCONTROL = """#!/bin/bash
[[ "$1 $2" == "show hostnames" ]] && printf '%s\\n' ${3//,/ }
"""


def test_ray_launcher_accepts_the_cluster_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((FOLDER / "ray-cluster.yaml").read_text())
    validate_config(prepare_config(config))
    assert config["head_start_ray_commands"][0] == "ray stop"


def test_kuberay_head_and_workers_have_the_same_image_and_volumes() -> None:
    job = yaml.safe_load((FOLDER / "kuberay-job.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    specs = [pod["template"]["spec"] for pod in pods]
    assert len({repr((spec["volumes"], spec["containers"][0]["volumeMounts"])) for spec in specs}) == 1
    assert len({spec["containers"][0]["image"] for spec in specs}) == 1


@pytest.mark.parametrize("name", ["ray-cluster.yaml", "kuberay-job.yaml", "slurm.sh"])
def test_examples_use_only_options_of_the_command(name: str) -> None:
    known = CliRunner().invoke(curate_app, ["--help"], env={"COLUMNS": "200"}).output
    (line,) = re.findall(r"pix2gif-curate .*--ray-address.*", (FOLDER / name).read_text())
    options = set(re.findall(r"--[a-z-]+", line))
    assert "--out" in options
    assert {option for option in options if option not in known} == set()


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which Slurm has allocated this machine twice: as head and as another node."""
    commands = tmp_path / "commands"
    commands.mkdir()
    for name, text in {"srun": _SRUN, "scontrol": _SCONTROL}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(stat.S_IRWXU)
    path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]])
    nodes = ",".join([socket.gethostname()] * 2)
    # Without this token, `ray start` would use one from the home folder, and the run none.
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return {**os.environ, **token, "PATH": path, "SLURM_JOB_NODELIST": nodes, "SLURM_CPUS_PER_TASK": "1"}


@pytest.mark.slow
def test_slurm_script_makes_the_same_bytes_as_one_process(
    slurm: dict[str, str], listing: Path, dataset: Path, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = tmp_path / "slurm.sh"
    script.write_text((FOLDER / "slurm.sh").read_text().replace("port=6379", f"port={port}"))
    command = ["/bin/bash", str(script), str(listing), str(tmp_path / "out"), "--quiet"]
    with subprocess.Popen(
        command, env=slurm, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as job:
        try:
            job.wait(timeout=300)
        finally:
            os.killpg(job.pid, signal.SIGTERM)  # Slurm ends the remaining processes of a job like this.
        assert job.stderr is not None
        assert job.returncode == 0, job.stderr.read()
    assert shard_hashes(tmp_path / "out") == shard_hashes(dataset)
    usage = subprocess.run(["/bin/bash", str(script)], env=slurm, capture_output=True, text=True, check=False)
    assert (usage.returncode, usage.stderr.startswith("usage: sbatch")) == (2, True)
