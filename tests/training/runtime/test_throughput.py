import time

import pytest
import torch

from training.runtime.peak_flops import find_peak_flops
from training.runtime.throughput import Throughput


def test_readings_exclude_pauses_and_reset_the_counts() -> None:
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
    # Sleeps may take longer than requested. With the pause, the rate would be below 32 / 0.7 = 46 images per second.
    assert 50 < readings["images_per_s"] <= 32 / 0.2
    assert 0.05 < readings["data_wait"] < 0.9
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
