import pytest
import torch
from diffusers import DDPMScheduler

from training.giftune.ddim import guide, invert, sample


@pytest.fixture
def schedule():
    return DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


@pytest.fixture
def latents():
    return torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def test_sampling_reverses_the_inversion_of_a_constant_prediction(schedule, latents):
    constant = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
    timesteps: list[list[int]] = [[], []]

    def denoise_into(steps):
        def denoise(latents, timestep):
            steps.append(int(timestep))
            return constant

        return denoise

    noise = invert(denoise_into(timesteps[0]), latents, schedule, 50)
    back = sample(denoise_into(timesteps[1]), noise, schedule, 50)
    torch.testing.assert_close(back, latents, rtol=0, atol=2e-4)
    assert timesteps[0] == timesteps[1][::-1] == list(range(1, 1000, 20))
    assert (noise - latents).abs().amax() > 1


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_more_steps_give_a_smaller_error(latents, prediction):
    schedule = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction
    )
    errors = []
    for num_steps in (5, 50, 500):
        noise = invert(lambda latents, _: 0.5 * latents, latents, schedule, num_steps)
        back = sample(lambda latents, _: 0.5 * latents, noise, schedule, num_steps)
        errors.append(float((back - latents).square().mean()))
    assert errors[0] > 4 * errors[1] > 16 * errors[2]


def test_guidance_extrapolates_from_the_null_prediction(latents):
    timestep = torch.tensor([1])
    text, null = (lambda latents, _: latents + 3), (lambda latents, _: latents + 1)
    assert guide(text, null, 1) is text
    torch.testing.assert_close(guide(text, null, 12.5)(latents, timestep), latents + 1 + 12.5 * 2)
