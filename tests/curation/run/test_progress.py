"""Progress of stages: a bar on a terminal, lines in a log, nothing with quiet; every stage is timed."""

import time

import pytest

from curation.run.progress import Progress
from tests.terminal import run_in_terminal

SHOW_A_STAGE = """
from curation.run.progress import Progress
with Progress().stage("probe", 3_000, "GIFs") as bar:
    bar.update(1_000)
    bar.update(2_000)
"""


def test_log_gets_a_line_when_a_stage_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress().stage("measure", 3_000, "pairs") as bar:
        bar.update(1_000)
        assert capsys.readouterr().err == ""  # The last line is not ten seconds ago.
        bar.update(2_000)
    out, err = capsys.readouterr()
    assert err.startswith("measure: 3,000 of 3,000 pairs (100 %), ")
    assert err.endswith(" left\n")
    assert err.count("\n") == 1
    assert "pairs/s" in err
    assert out == ""


@pytest.mark.parametrize(("quiet", "total"), [(True, 3), (False, 0)], ids=["quiet", "only timed"])
def test_quiet_and_timed_only_stages_print_nothing(capsys: pytest.CaptureFixture[str], quiet: bool, total: int) -> None:
    progress = Progress(quiet=quiet)
    with progress.stage("select", total, "pairs") as bar:
        bar.update(3)
    assert capsys.readouterr() == ("", "")
    assert list(progress.seconds) == ["select"]


def test_stages_are_timed_in_order_and_repeated_stages_add_up() -> None:
    progress = Progress(quiet=True)
    for name in ("probe", "measure", "probe"):
        with progress.stage(name):
            time.sleep(0.02)
    with pytest.raises(RuntimeError), progress.stage("export"):
        raise RuntimeError
    assert list(progress.seconds) == ["probe", "measure", "export"]
    assert progress.seconds["probe"] >= 0.04 > 0.03 > progress.seconds["export"] >= 0


def test_stages_count_their_units() -> None:
    progress = Progress(quiet=True)
    for num_done in (3, 4):
        with progress.stage("measure", 10, "pairs") as bar:
            bar.update(num_done)
    with progress.stage("select"):
        pass
    counts = [(stage.name, stage.num_done, stage.unit) for stage in progress.stages]
    assert counts == [("measure", 7, "pairs"), ("select", 0, "")]
    assert [stage.seconds for stage in progress.stages] == list(progress.seconds.values())


def test_terminal_gets_a_bar() -> None:
    first, *later = run_in_terminal(SHOW_A_STAGE).strip().split("\r")
    assert first.startswith("probe   :   0%|")
    assert any("100%|" in line and "3000/3000 [" in line and "GIFs/s" in line for line in later)
