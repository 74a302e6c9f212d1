import time

import pytest
import torch

from training.runtime.peak_flops import find_peak_flops
from training.runtime.throughput import Throughput


def test_readings_exclude_pauses_and_reset_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now_s)
    throughput = Throughput(torch.device("cpu"), "bf16")
    assert throughput.read() == {}
    with throughput.waiting():
        now_s += 0.5
    now_s += 1.5
    with throughput.paused():
        now_s += 8
    throughput.count(16)
    throughput.count(16)
    readings = throughput.read()
    assert readings == {"images_per_s": pytest.approx(16), "data_wait": pytest.approx(0.25)}
    assert throughput.read() == {}


def test_mfu_is_achieved_flops_divided_by_peak_flops() -> None:
    throughput = Throughput(torch.device("cpu"), "bf16", num_devices=4, flops_per_sample=500)
    assert throughput.peak_flops is None
    throughput.peak_flops = 4_000_000.0
    throughput.count(100)
    time.sleep(0.05)
    readings = throughput.read()
    assert readings["mfu"] == pytest.approx(readings["images_per_s"] * 500 / 4_000_000)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_peak_of_several_gpus_is_the_sum() -> None:
    throughput = Throughput(torch.device("cuda"), "bf16", num_devices=2)
    single = find_peak_flops(torch.cuda.get_device_name(), "bf16")
    assert throughput.peak_flops == (None if single is None else 2 * single)
