import pytest
import torch

from tests.training.model.helpers import randomize_parameters
from training.model.errors import ModelError
from training.model.warp import FlowNet, InjectionModule, WarpingModule, to_grid_units, warp


def draw_latent(height=32, width=32, num=2):
    return torch.randn(num, 4, height, width, generator=torch.Generator().manual_seed(0))


def constant_flow(dx, dy, height=32, width=32, num=2):
    displacement = torch.tensor([dx, dy], dtype=torch.float32)[None, :, None, None]
    return to_grid_units(displacement.expand(num, 2, height, width))


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (16, 128)])
def test_zero_flow_is_exactly_the_identity_for_powers_of_two(size):
    latent = draw_latent(*size)
    assert torch.equal(warp(latent, torch.zeros(2, 2, *size)), latent)


@pytest.mark.parametrize("size", [(12, 20), (28, 36), (40, 96)])
def test_zero_flow_is_the_identity_up_to_rounding_for_other_sizes(size):
    latent = draw_latent(*size)
    torch.testing.assert_close(warp(latent, torch.zeros(2, 2, *size)), latent, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, 1), (-3, 2), (5, -4)])
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_a_flow_moves_a_pattern_by_its_latent_pixels(dx, dy, size):
    height, width = size
    pattern = torch.zeros(1, 4, height, width)
    pattern[:, :, 10:14, 12:16] = draw_latent(4, 4, num=1)
    # The flow points from the new position back to the old one.
    moved = warp(pattern, constant_flow(-dx, -dy, height, width, num=1))
    expected = torch.roll(pattern, (dy, dx), (2, 3))
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-4)


def test_a_flow_of_half_a_pixel_averages_two_pixels():
    latent = draw_latent()
    moved = warp(latent, constant_flow(0.5, 0))
    torch.testing.assert_close(moved[..., :-1], (latent[..., :-1] + latent[..., 1:]) / 2, rtol=0, atol=1e-5)


def test_pixels_from_outside_are_zero():
    moved = warp(torch.ones(1, 4, 32, 32), constant_flow(4, 0, num=1))
    assert moved[..., :28].min() == 1
    assert moved[..., 28:].abs().max() == 0


def test_an_absolute_flow_is_the_grid():
    """A zero flow is the identity in one mode and the centre in the other."""
    latent = draw_latent()
    centre = latent[:, :, 15:17, 15:17].mean((2, 3), keepdim=True)
    moved = warp(latent, torch.zeros(2, 2, 32, 32), "absolute")
    torch.testing.assert_close(moved, centre.expand_as(latent))
    at = (torch.arange(32) * 2 + 1) / 32 - 1
    identity = torch.stack(torch.meshgrid(at, at, indexing="xy")).expand(2, 2, 32, 32)
    assert torch.equal(warp(latent, identity, "absolute"), latent)


def test_one_latent_pixel_is_two_over_the_size_in_grid_units():
    assert to_grid_units(torch.ones(1, 2, 24, 40))[0, :, 0, 0].tolist() == pytest.approx([2 / 40, 2 / 24])


def test_bfloat16_is_warped_on_a_float32_grid():
    latent = draw_latent().bfloat16()
    moved = warp(latent, torch.zeros(2, 2, 32, 32, dtype=torch.bfloat16))
    assert moved.dtype == torch.bfloat16
    assert torch.equal(moved, latent)


def test_a_new_residual_module_returns_the_source():
    latent = draw_latent()
    warped, flow = WarpingModule()(latent, torch.randn(2, 77, 768))
    assert flow.abs().max() == 0
    assert torch.equal(warped, latent)


def test_a_new_absolute_module_samples_near_the_centre():
    torch.manual_seed(0)
    warped, flow = WarpingModule(flow_mode="absolute")(draw_latent(), torch.randn(2, 77, 768))
    assert 0 < flow.abs().max() < 1
    assert not torch.allclose(warped, draw_latent())


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize(("size", "width"), [((32, 32), 768), ((64, 64), 768), ((16, 24), 32), ((12, 20), 1024)])
def test_other_sizes_and_widths_work(norm, size, width):
    module = WarpingModule(condition_width=width, flow_norm=norm)
    randomize_parameters(module)
    warped, flow = module(draw_latent(*size), torch.randn(2, 77, width))
    assert warped.shape == (2, 4, *size)
    assert flow.shape == (2, 2, *size)
    assert 0 < flow.abs().max() <= 1


def test_sides_that_are_not_multiples_of_4_raise():
    with pytest.raises(ModelError, match="multiples of 4"):
        WarpingModule()(draw_latent(30, 32), torch.randn(2, 77, 768))


def test_the_flow_depends_on_the_condition():
    module = WarpingModule(condition_width=32)
    randomize_parameters(module)
    latent = draw_latent(16, 16, num=1)
    flows = [module(latent, torch.randn(1, 77, 32)).flow for _ in range(2)]
    assert (flows[0] - flows[1]).abs().max() > 1e-3


def test_group_norm_keeps_samples_independent():
    module = WarpingModule(condition_width=32, flow_norm="group").train()
    randomize_parameters(module)
    latent, c_l = draw_latent(16, 16), torch.randn(2, 77, 32)
    torch.testing.assert_close(module(latent[:1], c_l[:1]).flow, module(latent, c_l).flow[:1], rtol=0, atol=1e-5)


def test_the_injection_does_not_interpolate_at_the_papers_size():
    module = InjectionModule(768)
    c_l = torch.randn(2, 77, 768)
    features = torch.relu(module.norm(module.conv(c_l)))
    assert features.shape == (2, 16, 256)
    assert torch.equal(module(c_l, (16, 16)), features.reshape(2, 16, 16, 16))


def test_zero_last_sets_the_last_layer_to_zero():
    assert FlowNet(zero_last=True).flow0.weight.abs().max() == 0
    assert FlowNet(zero_last=False).flow0.weight.abs().max() > 0


@pytest.mark.parametrize("mode", ["absolute", "residual"])
def test_an_absolute_flow_is_computed_in_float32_under_autocast(mode):
    module = WarpingModule(flow_mode=mode)
    randomize_parameters(module)
    latent, c_l = draw_latent(), torch.randn(2, 77, 768, generator=torch.Generator().manual_seed(1))
    exact = module(latent, c_l)
    with torch.autocast("cpu", torch.bfloat16):
        flow = module(latent, c_l).flow
    assert flow.dtype == (torch.float32 if mode == "absolute" else torch.bfloat16)
    if mode == "absolute":
        assert torch.equal(flow, exact.flow)
