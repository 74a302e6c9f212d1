import pytest
import torch
from diffusers import DDPMScheduler

from training.giftune.losses import (
    BackgroundRegularization,
    background_loss,
    choose_frames,
    consistency_loss,
    estimate_clean,
    find_background,
    prediction_target,
)


@pytest.fixture
def latents():
    return torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("step", [0, 500, 999])
def test_a_perfect_prediction_gives_the_clean_latents(latents, prediction, step):
    scheduler = DDPMScheduler(prediction_type=prediction, beta_schedule="scaled_linear", beta_end=0.012)
    noise, timestep = torch.randn_like(latents), torch.tensor([step])
    noisy = scheduler.add_noise(latents, noise, timestep)
    target = prediction_target(scheduler, latents, noise, timestep)
    torch.testing.assert_close(estimate_clean(scheduler, noisy, target, timestep), latents, rtol=0, atol=1e-4)


def test_change_rewards_the_motion_of_the_source_and_stillness_none(latents):
    still = latents[:1].expand_as(latents)
    moved = latents + 3  # Other images with the same change between frames.
    assert consistency_loss(moved, latents, "change") == pytest.approx(0, abs=1e-10)
    assert consistency_loss(moved, latents, "stillness") > 1
    assert consistency_loss(still, latents, "stillness") == 0
    assert consistency_loss(still, latents, "change") > 1


def test_the_background_loss_covers_the_far_half_in_units_of_the_sources_range():
    source = torch.tensor([[[0.0, 1.0], [2.0, 10.0]]])
    assert find_background(source).tolist() == [[[True, True], [False, False]]]
    near_changed = source + torch.tensor([[[0.0, 0.0], [5.0, 5.0]]])
    assert background_loss(near_changed, source) == 0
    far_changed = source + torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    assert float(background_loss(far_changed, source)) == pytest.approx(0.05)
    assert float(background_loss(far_changed * 7, source * 7)) == pytest.approx(0.05)


def test_the_background_loss_of_the_source_is_zero_and_has_gradients_elsewhere(parts, clip):
    images = clip.images()
    with torch.no_grad():
        latents = parts.vae.encode(images).latent_dist.mean * parts.vae.config["scaling_factor"]
        decoded = parts.vae.decode(latents / parts.vae.config["scaling_factor"]).sample
    regularization = BackgroundRegularization(parts.vae, lambda images: images.mean(1), decoded, frames_at_once=2)
    assert float(regularization(latents, [0, 3])) == pytest.approx(0, abs=1e-5)
    other = (latents + 1).requires_grad_()
    loss = regularization(other, [1, 3])
    loss.backward()
    has_gradient = other.grad.flatten(1).abs().amax(dim=1) > 0
    assert has_gradient.tolist() == [False, True, False, True, False]
    assert loss.item() > 0


def test_chosen_frames_are_evenly_spaced_and_distinct():
    assert choose_frames(8, 2, 0.0) == [0, 4]
    assert choose_frames(8, 2, 0.99) == [7, 3]
    assert sorted(choose_frames(3, 5, 0.5)) == [0, 1, 2]
