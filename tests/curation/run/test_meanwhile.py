"""Chores are done while something is waited for and no longer; what is not done, or fails, is left."""

import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from curation.decode.probe import describe_bytes
from curation.run import meanwhile
from curation.run.meanwhile import Chore, doing_meanwhile
from shards.writer import file_sha256
from tests.curation.runs import find_processes

MARKER = f"PIX2GIF_TEST_MEANWHILE_{os.getpid()}"
SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
NOTHING = (file_sha256, Path(os.devnull))
PICTURE = (describe_bytes, b"\x89PNG")


def chores_of(entered: list[Any], *calls: tuple[Any, Any]) -> list[Chore]:
    return [Chore(function=function, task=task, enter=entered.append) for function, task in calls]


@pytest.fixture(autouse=True)
def _marker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARKER, "1")


def helpers() -> list[int]:
    return find_processes(f"{MARKER}=1", re.compile(rb"curation\.meanwhile"))


def test_chores_are_done_for_as_long_as_the_block_lasts_by_a_process_that_ends_with_it(tmp_path: Path) -> None:
    pipe, entered = tmp_path / "pipe", list[Any]()
    os.mkfifo(pipe)

    with doing_meanwhile(chores_of(entered, NOTHING, (file_sha256, pipe), PICTURE)):
        assert len(helpers()) == 1
        stream = pipe.open("wb")  # Opens when the second chore does.
        threading.Timer(0.5, stream.close).start()  # After the block: what was begun is brought to its end.
    assert entered == [SHA256_OF_NOTHING, SHA256_OF_NOTHING]
    assert helpers() == []


def test_a_block_may_outlast_its_chores(tmp_path: Path) -> None:
    entered = list[Any]()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with doing_meanwhile(chores_of(entered, NOTHING, PICTURE, (file_sha256, pipe))):
        pipe.write_bytes(b"")  # Opens when the last chore does.
        time.sleep(0.5)
        assert entered == []
    assert entered == [SHA256_OF_NOTHING, describe_bytes(PICTURE[1]), SHA256_OF_NOTHING]


def test_a_chore_that_fails_is_left_with_all_after_it(tmp_path: Path) -> None:
    entered = list[Any]()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with doing_meanwhile(chores_of(entered, (file_sha256, pipe), (file_sha256, tmp_path / "gone"), NOTHING)):
        pipe.write_bytes(b"")
        time.sleep(1)
    assert entered == [SHA256_OF_NOTHING]


def test_a_helper_that_is_killed_leaves_all() -> None:
    entered = list[Any]()
    with doing_meanwhile(chores_of(entered, NOTHING)):
        os.kill(helpers()[0], signal.SIGKILL)
    assert entered == []


def test_a_chore_that_does_not_end_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meanwhile, "_PATIENCE_S", 0.5)
    pipe, entered = tmp_path / "pipe", list[Any]()
    os.mkfifo(pipe)
    with doing_meanwhile(chores_of(entered, (file_sha256, pipe))):
        stream = pipe.open("wb")
    stream.close()
    assert entered == []
    assert helpers() == []


def test_what_the_block_raises_is_raised_and_the_helper_ended() -> None:
    entered = list[Any]()
    with pytest.raises(KeyError), doing_meanwhile(chores_of(entered, NOTHING)):
        raise KeyError
    assert entered == []
    assert helpers() == []


def test_without_chores_nothing_is_started() -> None:
    with doing_meanwhile([]):
        assert helpers() == []
