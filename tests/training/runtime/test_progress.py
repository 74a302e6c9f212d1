"""What a terminal and a log see of a run."""

import pytest

from tests.terminal import show_in_a_terminal
from training.runtime.progress import ProgressBar


def test_a_terminal_sees_a_bar() -> None:
    program = (
        "from training.runtime.progress import ProgressBar\n"
        "bar = ProgressBar(3_000, done=1_000)\n"
        "bar.show(2_000, loss=0.5)\n"
        "import time; time.sleep(0.2)\n"
        "bar.show(3_000, loss=0.25)\n"
        "bar.close()\n"
    )
    first, *later = show_in_a_terminal(program).strip().split("\r")
    assert first.startswith("train:  33%|")
    assert any("100%|" in line and "3000/3000 [" in line and "loss 0.25" in line for line in later)


def test_a_log_sees_no_line_where_the_last_is_not_long_ago(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar(10)
    bar.show(1)
    bar.close()
    assert capsys.readouterr() == ("", "")
