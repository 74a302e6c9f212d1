"""The figures of the warp, the flow warm-up and the flow loss."""

import json
import math

import pytest
import torch

from tests.training.helpers import read_losses, train_arguments
from tests.training.trainer.helpers import have_same_weights, load_latest
from training.errors import TrainingError
from training.model.config import ModelConfig
from training.model.warp import Warped, to_grid_units, warp
from training.trainer.flow_training import WarpMeasures, find_flow_weight, pop_figures
from training.trainer.trainer import Trainer

MEASURES = ("flow_px", "warp_error")


def read_metrics(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def split_parts(tensors):
    """Split a model's tensors into those of the U-Net and those that make z_W."""
    unet = {name: tensor for name, tensor in tensors.items() if name.startswith("unet.")}
    return unet, {name: tensor for name, tensor in tensors.items() if name not in unet}


# ---- Figures


def measure(flow_px, *, has_image=(True, True), mode="residual"):
    """Measure a warp of constant displacement against a target whose content has moved one pixel to the left."""
    source = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    move = to_grid_units(torch.tensor([1.0, 0.0])[None, :, None, None].expand(2, 2, 16, 16))
    flow = move * flow_px
    if mode == "absolute":
        at = (torch.arange(16) * 2 + 1) / 16 - 1
        flow = flow + torch.stack(torch.meshgrid(at, at, indexing="xy"))
    warped = Warped(warp(source, flow, mode), flow)
    measures = WarpMeasures.compute(warped, mode, source, warp(source, move), torch.tensor(has_image))
    return pop_figures({name: float(value.mean()) for name, value in measures.by_name().items()})


@pytest.mark.parametrize("mode", ["residual", "absolute"])
def test_figures_are_0_px_and_1_without_a_flow_and_the_truth_with_the_right_one(mode):
    assert measure(0.0, mode=mode) == pytest.approx({"flow_px": 0.0, "warp_error": 1.0}, abs=1e-5)
    assert measure(1.0, mode=mode) == pytest.approx({"flow_px": 1.0, "warp_error": 0.0}, abs=1e-5)
    assert 0.1 < measure(0.5, mode=mode)["warp_error"] < 0.9


def test_samples_without_an_image_count_in_no_figure():
    assert measure(1.0, has_image=(True, False)) == pytest.approx(measure(1.0), abs=1e-5)
    assert all(math.isnan(value) for value in measure(1.0, has_image=(False, False)).values())


def test_a_model_without_a_warp_has_no_figures():
    assert pop_figures({"loss": 1.0}) == {}


def test_figures_are_in_the_metrics_and_start_at_the_source(few_shards, tmp_path, make_config, uninterrupted):
    first, *_, last = read_metrics(uninterrupted)
    assert (first["flow_px"], first["warp_error"]) == (0.0, pytest.approx(1.0))
    assert last["flow_px"] > 0
    assert not any(name.startswith("warp/") for name in last)
    config = make_config(max_steps=1, model=ModelConfig(variant="motion-embed"))
    Trainer(config, str(few_shards), tmp_path).train()
    assert not set(MEASURES) & read_metrics(tmp_path)[0].keys()


# ---- Weight of the flow loss


@pytest.mark.parametrize(("decay", "expected"), [(0, [2.0, 2.0, 2.0]), (10, [2.0, 1.0, 0.0])])
def test_the_flow_losss_weight_decays_after_the_warm_up(make_config, decay, expected):
    config = make_config(flow_warmup_steps=5, flow_loss_weight=2.0, flow_loss_decay_steps=decay)
    assert [find_flow_weight(config, step) for step in (5, 10, 20)] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"flow_warmup_steps": 100}, "flow_warmup_steps is 100; it must be 0 to below max_steps"),
        ({"flow_loss_weight": -1.0}, "flow_loss_weight is -1.0; it must be 0 or more"),
        (
            {"flow_warmup_steps": 1, "model": ModelConfig(variant="base")},
            "flow_warmup_steps is 1; it must be 0: the variant base has no warp",
        ),
    ],
)
def test_settings_that_teach_no_flow_are_refused(make_config, fields, message):
    with pytest.raises(TrainingError, match=message):
        make_config(**fields)


# ---- Training


@pytest.fixture(scope="module")
def taught(few_shards, tmp_path_factory, make_config):
    """Run 4 steps of flow warm-up and 4 joint ones with a flow loss."""
    out = tmp_path_factory.mktemp("taught")
    config = make_config(max_steps=8, flow_warmup_steps=4, flow_loss_weight=0.5, flow_loss_decay_steps=2)
    trainer = Trainer(config, str(few_shards), out / "run")
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.train(num_steps=4)
    middle = load_latest(out / "run")["model"]
    Trainer(config, str(few_shards), out / "run").train()
    return config, out / "run", before, middle


def test_the_warm_up_trains_all_that_makes_z_w_and_leaves_the_u_net(taught):
    _, out, before, middle = taught
    unet, others = split_parts(middle)
    assert all(torch.equal(before[name], tensor) for name, tensor in unet.items())
    assert not any(torch.equal(before[name], tensor) for name, tensor in others.items())
    unet, _ = split_parts(load_latest(out)["model"])
    assert not any(torch.equal(before[name], tensor) for name, tensor in unet.items())


def test_the_warm_up_lowers_the_error_of_z_w_and_its_loss_is_that_error(taught):
    rows = read_metrics(taught[1])
    assert all("noise_loss" not in row and row["loss"] == row["flow_loss"] for row in rows[:4])
    assert all("noise_loss" in row for row in rows[4:])
    assert ["flow_loss" in row for row in rows] == [True] * 6 + [False] * 2
    assert rows[3]["flow_px"] > 0


def test_the_learning_rate_is_full_in_the_flow_warm_up_and_then_warms_up(taught):
    config, out, *_ = taught
    rates = [row["learning_rate"] / config.learning_rate for row in read_metrics(out)]
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.2, 0.3, 0.4])


def test_a_run_resumed_in_both_phases_equals_an_uninterrupted_one_to_the_bit(taught, few_shards, tmp_path):
    config, out, *_ = taught
    for steps in (2, 4, 2):
        Trainer(config, str(few_shards), tmp_path).train(num_steps=steps)
    assert read_losses(tmp_path) == read_losses(out)
    assert have_same_weights(tmp_path, out)


def test_the_warm_up_in_bf16_has_about_the_same_losses(taught, few_shards, tmp_path, fork_command):
    options = {"flow-warmup-steps": 2, "flow-loss-weight": 0.5, "max-steps": 4, "precision": "bf16"}
    result = fork_command(*train_arguments(few_shards, tmp_path, **options)).wait()
    assert result.returncode == 0, result.stderr[-3000:]
    assert read_losses(tmp_path)[:2] == pytest.approx(read_losses(taught[1])[:2], abs=0.05)
