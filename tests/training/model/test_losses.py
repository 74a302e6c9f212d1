import pytest
import torch
from diffusers import DDPMScheduler

from training.model.losses import DropRates, drop_conditions, mean_squared_error, snr_weights, total_loss


@pytest.mark.parametrize(
    ("draw", "drops_text", "drops_image"),
    [
        (0.0, True, False),
        (0.0499, True, False),
        (0.05, True, True),
        (0.0999, True, True),
        (0.1, False, True),
        (0.1499, False, True),
        (0.1501, False, False),
        (0.9999, False, False),
    ],
)
def test_the_draw_decides_which_conditions_are_dropped(draw, drops_text, drops_image):
    text, null, source = torch.randn(1, 77, 8), torch.randn(1, 77, 8), torch.randn(1, 4, 8, 8)
    conditions = drop_conditions(torch.tensor([draw]), text, null, source)
    assert torch.equal(conditions.text_embeds, null if drops_text else text)
    assert torch.equal(conditions.source_latent, torch.zeros_like(source) if drops_image else source)


def test_samples_are_dropped_independently():
    text, null, source = torch.randn(4, 77, 8), torch.randn(1, 77, 8), torch.randn(4, 4, 8, 8)
    conditions = drop_conditions(torch.tensor([0.01, 0.07, 0.12, 0.5]), text, null, source)
    assert torch.equal(conditions.text_embeds, torch.cat([null, null, text[2:]]))
    zeros = torch.zeros_like(source[:1])
    assert torch.equal(conditions.source_latent, torch.cat([source[:1], zeros, zeros, source[3:]]))


def test_each_case_of_dropping_has_a_rate_of_5_percent():
    draw = torch.rand(40_000, generator=torch.Generator().manual_seed(0))
    conditions = drop_conditions(draw, torch.ones(40_000, 1, 1), torch.zeros(1, 1, 1), torch.ones(40_000, 1, 1, 1))
    no_text, no_image = conditions.text_embeds.flatten() == 0, conditions.source_latent.flatten() == 0
    for case in (no_text & ~no_image, no_text & no_image, ~no_text & no_image):
        assert abs(case.float().mean().item() - 0.05) < 0.005


def test_the_mean_squared_error_is_a_mean_per_sample():
    noise = torch.randn(3, 4, 8, 8)
    offsets = torch.tensor([0.0, 1.0, 2.0])
    loss = mean_squared_error(noise + offsets[:, None, None, None], noise)
    torch.testing.assert_close(loss, torch.tensor([0.0, 1.0, 4.0]), rtol=0, atol=1e-5)


def test_the_mean_squared_error_is_float32():
    prediction, noise = torch.full((1, 4, 64, 64), 0.1).half(), torch.zeros(1, 4, 64, 64).half()
    assert mean_squared_error(prediction, noise).dtype == torch.float32


def test_snr_weights_clamp_the_snr():
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    timesteps = torch.arange(1000)
    weights = snr_weights(scheduler, timesteps, gamma=5)
    alphas = scheduler.alphas_cumprod
    snr = alphas / (1 - alphas)
    assert (weights[snr <= 5] == 1).all()
    torch.testing.assert_close(weights[snr > 5], 5 / snr[snr > 5])
    assert weights[0] < 0.01


def test_the_total_is_a_weighted_sum():
    noise, perceptual, weights = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0]), torch.tensor([0.5, 1.0])
    torch.testing.assert_close(total_loss(noise), noise)
    torch.testing.assert_close(total_loss(noise, perceptual), torch.tensor([1.1, 2.2]))
    torch.testing.assert_close(total_loss(noise, perceptual, weights), torch.tensor([0.6, 2.2]))
    torch.testing.assert_close(total_loss(noise, perceptual, perceptual_weight=1), torch.tensor([11.0, 22.0]))


def test_each_case_of_dropping_has_its_rate():
    draw = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    conditions = drop_conditions(
        draw, torch.ones(100_000, 1, 1), torch.zeros(1, 1, 1), torch.ones(100_000, 1, 1, 1), DropRates(0.1, 0.2, 0.3)
    )
    no_text, no_image = conditions.text_embeds[:, 0, 0] == 0, conditions.source_latent[:, 0, 0, 0] == 0
    for rows, rate in ((no_text & ~no_image, 0.1), (no_text & no_image, 0.2), (no_image & ~no_text, 0.3)):
        assert float(rows.float().mean()) == pytest.approx(rate, abs=0.01)
