"""A run's numbers are where they are looked for, each step once, and its speed is what it is."""

import contextlib
import importlib.util
import json
import math
import os
import pty
import re
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from training.errors import TrainingError
from training.metrics import MetricsLog, ProgressBar, Throughput, find_peak_flops, measure_flops


def read_lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def read_scalars(run: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


# ---- Where the numbers go


def test_values_reach_the_file_at_once_and_tensorboard_in_the_end(tmp_path: Path) -> None:
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


def test_what_is_no_number_is_null(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as metrics:
        metrics.log(1, loss=math.nan, grad_norm=math.inf)
    (line,) = read_lines(tmp_path)
    assert line["loss"] is None
    assert line["grad_norm"] is None


def test_a_resumed_run_tells_each_step_once(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as metrics:
        for step in range(1, 6):
            metrics.log(step, loss=float(step))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')  # Killed while it wrote.
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


def test_a_run_that_begins_anew_tells_all_steps_anew(tmp_path: Path) -> None:
    for loss in (1.0, 2.0):
        with MetricsLog(tmp_path) as metrics:
            metrics.log(1, loss=loss)
    assert [line["loss"] for line in read_lines(tmp_path)] == [2.0]
    assert read_scalars(tmp_path, "loss") == [(1, 2.0)]


def test_other_processes_write_nothing_and_show_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with MetricsLog(tmp_path / "run", 0, 1, enabled=False, wandb_project="probe") as metrics:
        metrics.log(1, loss=1.0)
        metrics.progress(1, 1.0)
        metrics.say("nothing")
    assert not (tmp_path / "run").exists()
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is installed here")
def test_wandb_is_asked_for_and_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"^W&B was asked for and is not installed: pip install wandb"):
        MetricsLog(tmp_path / "run", wandb_project="probe")
    assert not (tmp_path / "run").exists()


# ---- Speed


def test_throughput_leaves_pauses_out_and_begins_anew_with_each_reading() -> None:
    throughput = Throughput(torch.device("cpu"), "bf16")
    assert throughput.read() == {}
    with throughput.waiting():
        time.sleep(0.05)
    time.sleep(0.15)
    with throughput.paused():
        time.sleep(0.5)
    throughput.count(16)
    throughput.count(16)
    readings = throughput.read()
    assert set(readings) == {"images_per_s", "data_wait"}
    # Sleeps may be longer than was asked; the pause would make it at most 32 / 0.7 = 46 images a second.
    assert 50 < readings["images_per_s"] <= 32 / 0.2
    assert 0.05 < readings["data_wait"] < 0.9
    assert throughput.read() == {}


def test_mfu_is_what_was_done_of_what_could_be() -> None:
    throughput = Throughput(torch.device("cpu"), "bf16", num_devices=4, flops_per_sample=500)
    assert throughput.peak_flops is None
    throughput.peak_flops = 4_000_000.0
    throughput.count(100)
    time.sleep(0.05)
    readings = throughput.read()
    assert readings["mfu"] == pytest.approx(readings["images_per_s"] * 500 / 4_000_000)


def test_flops_are_those_of_forward_and_backward() -> None:
    first, second = torch.nn.Linear(10, 20, bias=False), torch.nn.Linear(20, 5, bias=False)
    x = torch.randn(3, 10)
    forward = 2 * 3 * (10 * 20 + 20 * 5)
    assert measure_flops(lambda: second(first(x))) == forward
    # Backward: the gradients of both weights and of what lies between them; x has none.
    assert measure_flops(lambda: second(first(x)).sum().backward()) == forward + 2 * 3 * (10 * 20 + 2 * 20 * 5)


def test_attention_counts_on_a_cpu_as_its_products() -> None:
    batch, heads, length, width = 2, 4, 16, 8
    query = torch.randn(batch, heads, length, width, requires_grad=True)
    product = 2 * batch * heads * length * length * width

    def attend() -> None:
        torch.nn.functional.scaled_dot_product_attention(query, query, query).sum().backward()  # type: ignore[no-untyped-call]

    assert measure_flops(attend) == 2 * product + 4 * product


@pytest.mark.parametrize(
    ("device_name", "precision", "tflops"),
    [
        ("NVIDIA H200", "bf16", 989.4),
        ("NVIDIA H100 80GB HBM3", "fp16", 989.4),
        ("NVIDIA H100 80GB HBM3", "tf32", 494.7),
        ("NVIDIA H100 PCIe", "bf16", 756.0),
        ("NVIDIA H100 NVL", "bf16", 835.5),
        ("NVIDIA A100-SXM4-80GB", "bf16", 312.0),
        ("NVIDIA A100 80GB PCIe", "fp32", 19.5),
        ("NVIDIA L40S", "bf16", 362.05),
        ("NVIDIA GeForce RTX 4090", "bf16", 165.2),
        ("NVIDIA GeForce RTX 3090", "fp16", 71.0),
        ("NVIDIA GeForce RTX 3090 Ti", "fp16", 80.0),
        ("Tesla V100-SXM2-32GB", "fp16", 125.0),
        ("Tesla V100-PCIE-16GB", "fp16", 112.0),
        ("Tesla V100S-PCIE-32GB", "fp16", 130.0),
        ("Tesla V100-SXM2-32GB", "bf16", None),
        ("Tesla T4", "fp16", 65.0),
        ("Tesla T4", "tf32", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "bf16", None),
        ("NVIDIA RTX A1000", "bf16", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "bf16", None),
        ("NVIDIA GeForce RTX 4090 D", "bf16", None),
        ("NVIDIA L40", "bf16", None),
        ("NVIDIA H20", "bf16", None),
        ("cpu", "fp32", None),
    ],
)
def test_peaks_are_known_by_the_devices_name(device_name: str, precision: str, tflops: float | None) -> None:
    peak = find_peak_flops(device_name, precision)  # type: ignore[arg-type]
    assert peak == (None if tflops is None else pytest.approx(tflops * 1e12))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpus_peak_is_that_of_its_name() -> None:
    throughput = Throughput(torch.device("cuda"), "bf16", num_devices=2)
    alone = find_peak_flops(torch.cuda.get_device_name(), "bf16")
    assert throughput.peak_flops == (None if alone is None else 2 * alone)


# ---- What a person sees


def test_a_log_sees_a_line_in_the_end_and_an_estimate_of_this_runs_steps_only(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with MetricsLog(tmp_path, 1_000, 1_004) as metrics:
        for step in range(1_001, 1_005):
            time.sleep(0.02)
            metrics.progress(step, 0.123456)
        metrics.say("a checkpoint was written")
    out, err = capsys.readouterr()
    shown = re.fullmatch(
        r"train: 1,004 of 1,004 steps \(100 %\), ([\d.]+) ?steps/s, 00:00 left, loss 0\.1235\n"
        r"a checkpoint was written\n",
        err,
    )
    assert shown is not None, err
    assert 1 < float(shown[1]) < 50  # Not a thousand steps in no time.
    assert out == ""


def test_a_terminal_sees_a_bar() -> None:
    program = (
        "from training.metrics import ProgressBar\n"
        "bar = ProgressBar(3_000, done=1_000)\n"
        "bar.show(2_000, loss=0.5)\n"
        "import time; time.sleep(0.2)\n"
        "bar.show(3_000, loss=0.25)\n"
        "bar.close()\n"
    )
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    subprocess.run([sys.executable, "-c", program], stderr=theirs, check=True)
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as screen, contextlib.suppress(OSError):  # So a closed terminal reads.
        while piece := screen.read(2**16):
            shown += piece
    first, *later = shown.decode().strip().split("\r")
    assert first.startswith("train:  33%|")
    assert any("100%|" in line and "3000/3000 [" in line and "loss 0.25" in line for line in later)


def test_a_log_sees_no_line_where_the_last_is_not_long_ago(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar(10)
    bar.show(1)
    bar.close()
    assert capsys.readouterr() == ("", "")
