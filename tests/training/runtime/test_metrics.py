import importlib.util
import json
import math
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.errors import TrainingError
from training.runtime.metrics import MetricsLog


def read_lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def read_scalars(run: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_values_are_written_to_the_file_at_once_and_to_tensorboard_on_close(tmp_path: Path) -> None:
    before = time.time()
    with MetricsLog(tmp_path / "run") as metrics:
        metrics.log(1, loss=0.5, images=256)
        metrics.log(2, loss=torch.tensor(0.25), images=512)
        lines = read_lines(tmp_path / "run")
    first, second = lines
    assert before - 1 < first.pop("unix_time_s") <= second.pop("unix_time_s") < time.time() + 1
    assert first == {"step": 1, "loss": 0.5, "images": 256}
    assert second == {"step": 2, "loss": 0.25, "images": 512}
    assert read_scalars(tmp_path / "run", "loss") == [(1, 0.5), (2, 0.25)]


def test_nan_and_infinity_are_null(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as metrics:
        metrics.log(1, loss=math.nan, grad_norm=math.inf)
    (line,) = read_lines(tmp_path)
    assert line["loss"] is None
    assert line["grad_norm"] is None


def test_a_resumed_run_writes_each_step_once(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as metrics:
        for step in range(1, 6):
            metrics.log(step, loss=float(step))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')  # A line of a killed process.
    with MetricsLog(tmp_path, 3) as metrics:
        assert [line["step"] for line in read_lines(tmp_path)] == [1, 2, 3]
        for step in range(4, 7):
            metrics.log(step, loss=10.0 * step)
    assert [(line["step"], line["loss"]) for line in read_lines(tmp_path)] == [
        (1, 1.0),
        (2, 2.0),
        (3, 3.0),
        (4, 40.0),
        (5, 50.0),
        (6, 60.0),
    ]
    assert read_scalars(tmp_path, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0), (5, 50.0), (6, 60.0)]


def test_a_restarted_run_replaces_all_steps(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as metrics:
        metrics.log(1, loss=1.0)
    # TensorBoard sorts files of the same second by the text of a counter: 10 before 9.
    time.sleep(1.0)
    with MetricsLog(tmp_path) as metrics:
        metrics.log(1, loss=2.0)
    assert [line["loss"] for line in read_lines(tmp_path)] == [2.0]
    assert read_scalars(tmp_path, "loss") == [(1, 2.0)]


def test_other_processes_write_and_show_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with MetricsLog(tmp_path / "run", 0, 1, enabled=False, wandb_project="probe") as metrics:
        metrics.log(1, loss=1.0)
        metrics.show_progress(1, 1.0)
    assert not (tmp_path / "run").exists()
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is installed here")
def test_missing_wandb_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"^W&B is not installed; run pip install wandb"):
        MetricsLog(tmp_path / "run", wandb_project="probe")
    assert not (tmp_path / "run").exists()


def test_progress_shows_the_loss_and_the_rate_of_this_process(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with MetricsLog(tmp_path, 1_000, 1_004) as metrics:
        for step in range(1_001, 1_005):
            time.sleep(0.02)
            metrics.show_progress(step, 0.123456)
    out, err = capsys.readouterr()
    shown = re.fullmatch(r"train: 1,004 of 1,004 steps \(100 %\), ([\d.]+) ?steps/s, 00:00 left, loss 0\.1235\n", err)
    assert shown is not None, err
    assert 1 < float(shown[1]) < 50
    assert out == ""


def test_pictures_are_shown_in_tensorboard_and_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[dict[str, Any]] = []
    run = SimpleNamespace(log=logged.append, define_metric=lambda *_, **__: None, finish=lambda **_: None)
    wandb = SimpleNamespace(init=lambda **_: run, Image=lambda path: f"picture of {path}")
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    path = tmp_path / "sheet.png"
    Image.new("RGB", (8, 4), "red").save(path)
    with MetricsLog(tmp_path / "run", wandb_project="probe") as metrics:
        metrics.log_picture(7, "validation", path)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    (shown,) = events.Images("validation")
    assert (shown.step, shown.width, shown.height) == (7, 8, 4)
    assert logged == [{"step": 7, "validation": f"picture of {path}"}]
