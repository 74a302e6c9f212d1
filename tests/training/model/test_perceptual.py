import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.training.model.helpers import randomize_parameters
from training.model.errors import ModelError
from training.model.perceptual import LAYERS, PerceptualLoss, widen_first_layer
from training.model.warp import WarpingModule

ROOT = Path(__file__).resolve().parents[3]


def draw_latents(num=2, size=16, seed=0):
    return torch.randn(num, 4, size, size, generator=torch.Generator().manual_seed(seed))


def make_torchvision_weights(perceptual):
    """Weights as torchvision saves them: 3 channels in the first layer, and a classifier, which the loss ignores."""
    weights = {name: tensor.clone() for name, tensor in perceptual.state_dict().items()}
    weights["features.0.weight"] = weights["features.0.weight"][:, :3].contiguous()
    return weights | {"classifier.0.weight": torch.zeros(2, 2)}


def test_the_layers_are_those_of_torchvision(perceptual):
    kinds = [type(layer).__name__ for layer in perceptual.features]
    assert len(kinds) == 29
    assert [index for index, kind in enumerate(kinds) if kind == "MaxPool2d"] == [4, 9, 18, 27]
    assert [kinds[index] for index in LAYERS] == ["Conv2d"] * 5
    widths = [perceptual.features[index].out_channels for index in LAYERS]
    assert widths == [64, 128, 256, 512, 512]
    # VGG19's convolutions up to 5_1 have 12,944,960 parameters; the fourth channel adds 64 x 9.
    assert sum(parameter.numel() for parameter in perceptual.parameters()) == 12_944_960 + 576


def test_equal_latents_have_no_loss(perceptual):
    assert perceptual(draw_latents(), draw_latents()).tolist() == [0, 0]


def test_the_loss_is_the_sum_of_mean_squared_errors_of_the_layers(perceptual):
    first, other = draw_latents(seed=1), draw_latents(seed=2)
    expected = torch.zeros(2)
    for end in LAYERS:
        layers = perceptual.features[: end + 1]
        expected += (layers(first) - layers(other)).square().mean((1, 2, 3))
    torch.testing.assert_close(perceptual(first, other), expected)
    assert expected.min() > 0


def test_each_sample_has_its_own_loss(perceptual):
    source = draw_latents()
    warped = torch.stack([source[0], source[1] + 1])
    loss = perceptual(warped, source)
    assert loss[0] == 0
    assert loss[1] > 0


def test_gradients_reach_only_the_warped_latent(perceptual):
    warping = WarpingModule(condition_width=32)
    randomize_parameters(warping, scale=0.1)
    source = draw_latents().requires_grad_()
    perceptual(warping(source.detach(), torch.randn(2, 77, 32)).latent, source).sum().backward()
    without_gradient = [
        name for name, parameter in warping.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert without_gradient == []
    assert source.grad is None
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in perceptual.parameters())


def test_a_dropped_source_has_no_loss(perceptual):
    """A dropped image makes z_W zero. Compared with the full source, FlowNet would get a gradient for that."""
    warping = WarpingModule(condition_width=32)
    randomize_parameters(warping, scale=0.1)
    dropped = torch.zeros(2, 4, 16, 16)
    warped = warping(dropped, torch.randn(2, 77, 32)).latent
    assert perceptual(warped, dropped).tolist() == [0, 0]
    assert perceptual(warped, draw_latents()).min() > 0


def test_the_fourth_channel_is_the_mean_and_the_bias_is_kept(perceptual):
    """The authors' code leaves the bias of the first layer random."""
    weights = make_torchvision_weights(perceptual)
    first = PerceptualLoss(weights).features[0]
    assert torch.equal(first.weight[:, :3], weights["features.0.weight"])
    torch.testing.assert_close(first.weight[:, 3], weights["features.0.weight"].mean(1))
    assert torch.equal(first.bias, weights["features.0.bias"])
    assert first.bias.abs().max() > 0
    assert widen_first_layer(torch.ones(64, 3, 3, 3)).shape == (64, 4, 3, 3)


def test_equal_calls_give_equal_losses(perceptual):
    """The authors' code builds VGG at every call, each time with a different random bias."""
    before = [id(parameter) for parameter in perceptual.parameters()]
    first, other = draw_latents(seed=1), draw_latents(seed=2)
    assert torch.equal(perceptual(first, other), perceptual(first, other))
    assert [id(parameter) for parameter in perceptual.parameters()] == before


@pytest.mark.parametrize("form", ["file.safetensors", "file.pt", "folder"])
def test_weights_load_from_a_file_or_folder(perceptual, tmp_path, form):
    weights = make_torchvision_weights(perceptual)
    path = tmp_path / ("model.safetensors" if form == "folder" else form)
    if path.suffix == ".pt":
        torch.save(weights, path)
    else:
        save_file(weights, path)
    loaded = PerceptualLoss.from_weights(tmp_path if form == "folder" else str(path))
    first, other = draw_latents(seed=1), draw_latents(seed=2)
    torch.testing.assert_close(loaded(first, other), perceptual(first, other))


def test_missing_weights_raise(tmp_path):
    with pytest.raises(ModelError, match=r"^there are no VGG19 weights at .*nowhere\.pt; name a file"):
        PerceptualLoss.from_weights(tmp_path / "nowhere.pt")
    with pytest.raises(ModelError, match="must hold one file"):
        PerceptualLoss.from_weights(tmp_path)


def test_an_unreachable_hub_raises():
    code = (
        "from training.model.perceptual import PerceptualLoss\n"
        "from training.model.errors import ModelError\n"
        "try: PerceptualLoss.from_weights('owner/name')\n"
        "except ModelError as error: print(error)\n"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": "/nonexistent"}
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=ROOT,
    )
    assert result.stdout.startswith("there are no VGG19 weights at owner/name, neither on this machine nor on the hub")


def test_weights_of_another_model_raise(perceptual, tmp_path):
    weights = make_torchvision_weights(perceptual)
    save_file({**weights, "features.5.bias": torch.zeros(3)}, tmp_path / "shape.safetensors")
    with pytest.raises(ModelError, match=r"features\.5\.bias has shape \(3,\)"):
        PerceptualLoss.from_weights(tmp_path / "shape.safetensors")
    del weights["features.28.bias"]
    save_file(weights, tmp_path / "short.safetensors")
    with pytest.raises(ModelError, match=r"features\.28\.bias is missing"):
        PerceptualLoss.from_weights(tmp_path / "short.safetensors")
    for name in ("damaged.safetensors", "damaged.pt"):
        (tmp_path / name).write_bytes(b"cut off in the middle")
        with pytest.raises(ModelError, match="VGG19 weights"):
            PerceptualLoss.from_weights(tmp_path / name)


def test_random_weights_depend_on_the_seed():
    first, same, other = (PerceptualLoss.random(seed).features[0].weight for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_small_latent_raises(perceptual):
    with pytest.raises(ModelError, match="too small for VGG19"):
        perceptual(torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8))
