"""A run's speed is what it is."""

import time

import pytest
import torch

from training.runtime.peak_flops import find_peak_flops
from training.runtime.throughput import Throughput


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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpus_peak_is_that_of_its_name() -> None:
    throughput = Throughput(torch.device("cuda"), "bf16", num_devices=2)
    alone = find_peak_flops(torch.cuda.get_device_name(), "bf16")
    assert throughput.peak_flops == (None if alone is None else 2 * alone)
