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
    """The file that torchvision gives: 3 channels in the first layer, and a classifier that is of no use here."""
    weights = {name: tensor.clone() for name, tensor in perceptual.state_dict().items()}
    weights["features.0.weight"] = weights["features.0.weight"][:, :3].contiguous()
    return weights | {"classifier.0.weight": torch.zeros(2, 2)}


def test_the_layers_are_torchvisions(perceptual):
    kinds = [type(layer).__name__ for layer in perceptual.features]
    assert len(kinds) == 29
    assert [index for index, kind in enumerate(kinds) if kind == "MaxPool2d"] == [4, 9, 18, 27]
    assert [kinds[index] for index in LAYERS] == ["Conv2d"] * 5
    widths = [perceptual.features[index].out_channels for index in LAYERS]
    assert widths == [64, 128, 256, 512, 512]
    # VGG19's convolutions up to 5_1 have 12,944,960 parameters; the fourth channel adds 64 x 9.
    assert sum(parameter.numel() for parameter in perceptual.parameters()) == 12_944_960 + 576


def test_equal_inputs_have_no_loss(perceptual):
    assert perceptual(draw_latents(), draw_latents()).tolist() == [0, 0]


def test_it_is_the_sum_of_the_layers_mean_squared_errors(perceptual):
    one, other = draw_latents(seed=1), draw_latents(seed=2)
    expected = torch.zeros(2)
    for end in LAYERS:
        layers = perceptual.features[: end + 1]
        expected += (layers(one) - layers(other)).square().mean((1, 2, 3))
    torch.testing.assert_close(perceptual(one, other), expected)
    assert expected.min() > 0


def test_samples_have_losses_of_their_own(perceptual):
    source = draw_latents()
    warped = torch.stack([source[0], source[1] + 1])
    loss = perceptual(warped, source)
    assert loss[0] == 0
    assert loss[1] > 0


def test_the_gradient_reaches_flow_net_and_not_vgg_or_source(perceptual):
    warping = WarpingModule(condition_width=32)
    randomize_parameters(warping, scale=0.1)
    source = draw_latents().requires_grad_()
    perceptual(warping(source.detach(), torch.randn(2, 77, 32)).latent, source).sum().backward()
    missed = [
        name for name, parameter in warping.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert missed == []
    assert source.grad is None
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in perceptual.parameters())


def test_a_masked_source_has_no_loss_and_an_unmasked_one_would(perceptual):
    """Where the image was dropped, z_W is made of zeros: held to the full source, FlowNet would be blamed for that."""
    warping = WarpingModule(condition_width=32)
    randomize_parameters(warping, scale=0.1)
    masked = torch.zeros(2, 4, 16, 16)
    warped = warping(masked, torch.randn(2, 77, 32)).latent
    assert perceptual(warped, masked).tolist() == [0, 0]
    assert perceptual(warped, draw_latents()).min() > 0


def test_the_fourth_channel_is_the_mean_and_the_bias_is_kept(perceptual):
    """The authors' code leaves the first layer's bias at random."""
    weights = make_torchvision_weights(perceptual)
    first = PerceptualLoss(weights).features[0]
    assert torch.equal(first.weight[:, :3], weights["features.0.weight"])
    torch.testing.assert_close(first.weight[:, 3], weights["features.0.weight"].mean(1))
    assert torch.equal(first.bias, weights["features.0.bias"])
    assert first.bias.abs().max() > 0
    assert widen_first_layer(torch.ones(64, 3, 3, 3)).shape == (64, 4, 3, 3)


def test_vgg_is_built_once(perceptual):
    """The authors' code builds VGG at every call, with another random bias each time: equal calls would differ."""
    before = [id(parameter) for parameter in perceptual.parameters()]
    one, other = draw_latents(seed=1), draw_latents(seed=2)
    assert torch.equal(perceptual(one, other), perceptual(one, other))
    assert [id(parameter) for parameter in perceptual.parameters()] == before


@pytest.mark.parametrize("form", ["file.safetensors", "file.pt", "folder"])
def test_weights_load_by_name_from_a_file(perceptual, tmp_path, form):
    weights = make_torchvision_weights(perceptual)
    path = tmp_path / ("model.safetensors" if form == "folder" else form)
    if path.suffix == ".pt":
        torch.save(weights, path)
    else:
        save_file(weights, path)
    loaded = PerceptualLoss.from_weights(tmp_path if form == "folder" else str(path))
    one, other = draw_latents(seed=1), draw_latents(seed=2)
    torch.testing.assert_close(loaded(one, other), perceptual(one, other))


def test_weights_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"^no weights of VGG19 lie at .*nowhere\.pt: name a file"):
        PerceptualLoss.from_weights(tmp_path / "nowhere.pt")
    with pytest.raises(ModelError, match="must hold one file"):
        PerceptualLoss.from_weights(tmp_path)


def test_a_hub_that_cannot_be_reached_is_one_sentence():
    code = (
        "from training.model.perceptual import PerceptualLoss\n"
        "from training.model.errors import ModelError\n"
        "try: PerceptualLoss.from_weights('owner/name')\n"
        "except ModelError as error: print(error)\n"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": "/nonexistent"}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=ROOT,
    )
    assert ended.stdout.startswith("no weights of VGG19 lie at owner/name, neither here nor on the hub")


def test_weights_of_another_model_are_refused(perceptual, tmp_path):
    weights = make_torchvision_weights(perceptual)
    save_file({**weights, "features.5.bias": torch.zeros(3)}, tmp_path / "shape.safetensors")
    with pytest.raises(ModelError, match=r"features\.5\.bias has the shape \(3,\)"):
        PerceptualLoss.from_weights(tmp_path / "shape.safetensors")
    del weights["features.28.bias"]
    save_file(weights, tmp_path / "short.safetensors")
    with pytest.raises(ModelError, match=r"features\.28\.bias is missing"):
        PerceptualLoss.from_weights(tmp_path / "short.safetensors")
    for name in ("torn.safetensors", "torn.pt"):
        (tmp_path / name).write_bytes(b"torn off in the middle")
        with pytest.raises(ModelError, match="VGG19's weights in"):
            PerceptualLoss.from_weights(tmp_path / name)


def test_a_seed_gives_its_weights():
    one, same, other = (PerceptualLoss.random(seed).features[0].weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_latent_too_small_for_vgg_is_refused(perceptual):
    with pytest.raises(ModelError, match="too small for VGG19"):
        perceptual(torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8))
