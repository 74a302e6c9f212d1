import pytest
import torch

from training.errors import TrainingError
from training.runtime.devices import check_precision, choose_device

CPU = torch.device("cpu")


def test_a_named_device_is_returned():
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("name", ["warp", "cuda:99"])
def test_a_missing_device_is_refused(name):
    with pytest.raises(TrainingError, match=f"^there is no device {name} on this machine; choose one of: .*cpu"):
        choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_the_default_is_the_cpu_without_a_gpu():
    assert choose_device() == CPU


def test_fp16_is_refused_on_a_cpu():
    with pytest.raises(TrainingError, match="fp16 needs a GPU"):
        check_precision("fp16", CPU)
    check_precision("bf16", CPU)
