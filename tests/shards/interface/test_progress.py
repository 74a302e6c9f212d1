import re
import time

import pytest

from shards.interface.progress import ProgressBar
from tests.terminal import run_in_terminal

PROGRAM = """
import time
from shards.interface.progress import ProgressBar
with ProgressBar("train", 3_000, "steps", num_before=1_000) as bar:
    bar.update(1_000, loss=0.5)
    time.sleep(0.2)
    bar.update(1_000, loss=0.25)
"""


def test_a_terminal_shows_a_bar_with_values() -> None:
    first, *later = run_in_terminal(PROGRAM).strip().split("\r")
    assert first.startswith("train   :  33%|")
    assert any("100%|" in line and "3000/3000 [" in line and "loss 0.25" in line for line in later)


def test_a_log_gets_one_line_at_the_end_of_a_short_run(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("measure", 3_000, "pairs") as bar:
        bar.update(1_000)
        assert capsys.readouterr() == ("", "")
        bar.update(2_000, loss=0.123456)
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"measure: 3,000 of 3,000 pairs \(100 %\), .* pairs/s, 00:00 left, loss 0\.1235\n", err), err


def test_the_rate_excludes_units_done_before(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("train", 1_001, "steps", num_before=1_000) as bar:
        time.sleep(0.1)
        bar.update()
    rate = re.search(r"([\d.]+) steps/s", capsys.readouterr().err)
    assert rate is not None
    assert 1 < float(rate[1]) <= 10
