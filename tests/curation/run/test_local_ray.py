"""A Ray of the run's own: who can reach it, where it writes, and what ends a start that fails."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from curation.run import local_ray
from tests.curation.helpers import curate_command, wait_until

_LOOK_AROUND = """
import json, os, psutil, stat, sys
from pathlib import Path
from curation.run.workers import open_workers

def main():
    before = dict(os.environ)
    with open_workers(1) as workers:
        assert list(workers.map(len, ["ab"])) == [2]
        import ray
        session = Path(ray._private.worker._global_node.get_session_dir_path())
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        seen = {
            "addresses": [c.laddr.ip for p in family for c in p.net_connections() if c.status == psutil.CONN_LISTEN],
            "names": [p.name() for p in family],
            "token_in_arguments": any(os.environ["RAY_AUTH_TOKEN"] in " ".join(p.cmdline()) for p in family),
            "private": [str(f) for f in session.parents if not stat.S_IMODE(f.stat().st_mode) & 0o077],
            "session": str(session),
        }
    seen["left"] = session.exists() or any(p.is_running() and p.status() != "zombie" for p in family[1:])
    seen["restored"] = [n for n in ("RAY_AUTH_TOKEN", "RAY_AUTH_MODE") if os.environ.get(n) != before.get(n)]
    print(json.dumps(seen))

main()
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Facts about a local Ray, started where HOME cannot be written and TMPDIR is long."""
    long = tmp_path_factory.mktemp("temporary") / ("x" * 100)
    long.mkdir()
    env = {**os.environ, "HOME": "/dev/null/home", "TMPDIR": str(long)}
    ended = subprocess.run(
        [sys.executable, "-c", _LOOK_AROUND], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def test_ray_listens_on_the_loopback_interface_only(seen: dict[str, Any]) -> None:
    assert {"gcs_server", "raylet"} <= set(seen["names"])
    assert {address.removeprefix("::ffff:") for address in seen["addresses"]} == {"127.0.0.1"}


def test_token_and_session_are_private_and_removed(seen: dict[str, Any]) -> None:
    assert not seen["token_in_arguments"]
    assert any(Path(folder).name.startswith("pix2gif-") for folder in seen["private"])
    assert not seen["left"]
    assert seen["restored"] == []
    assert len(f"{seen['session']}/sockets/plasma_store") < 104


def test_loopback_that_is_down_is_named_at_once(listing: Path, tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-n", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to start a process without a network")
    command = [unshare, "-n", *curate_command(listing, tmp_path / "out", workers=1)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: Ray cannot start, because the loopback interface 127.0.0.1 does not work")
    assert ended.stderr.endswith("or work without Ray: --workers 0\n")


def test_no_short_folder_for_sockets_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_ray.os, "access", lambda *_: False)
    with pytest.raises(local_ray.ClusterError, match=r"Ray needs a folder .* set TMPDIR to another folder, or work"):
        local_ray._find_short_folder()


def test_sigterm_during_the_start_ends_it_and_what_it_left(listing: Path, tmp_path: Path) -> None:
    driver = subprocess.Popen(
        curate_command(listing, tmp_path / "out", workers=1), stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    family: list[psutil.Process] = []

    def has_gcs() -> bool:
        family[:] = psutil.Process(driver.pid).children(recursive=True)
        return any(process.name() == "gcs_server" for process in family)

    assert wait_until(has_gcs, 240)
    driver.send_signal(signal.SIGTERM)
    _, message = driver.communicate(timeout=60)  # It ends in seconds; Ray's own start would go on for two minutes.
    assert (driver.returncode, message.count("\n")) == (130, 3), message
    assert "To resume, run the same command again" in message
    assert [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE] == []
