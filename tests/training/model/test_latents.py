import pytest
import torch

from training.model.latents import decode_latents, encode_moments, encode_source, sample_target


@pytest.fixture
def vae(build):
    return build().vae


@pytest.fixture
def images():
    return torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_source_latent_is_the_unscaled_mode(vae, images):
    """As in InstructPix2Pix. Otherwise training and generation would give the U-Net different inputs."""
    with torch.no_grad():
        posterior = vae.encode(images).latent_dist
    assert torch.equal(encode_source(vae, images), posterior.mode())
    assert torch.equal(encode_source(vae, images), encode_source(vae, images))


def test_the_target_latent_is_a_scaled_sample(vae, images):
    with torch.no_grad():
        posterior = vae.encode(images).latent_dist
    moments = encode_moments(vae, images)
    noise = torch.randn(moments.mean.shape, generator=torch.Generator().manual_seed(1))
    expected = posterior.sample(torch.Generator().manual_seed(1)) * 0.18215
    torch.testing.assert_close(sample_target(moments, noise), expected)
    assert sample_target(moments, noise).shape == (2, 4, 16, 16)


def test_decoding_removes_the_scale(vae):
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = vae.decode(latents / 0.18215).sample.clamp(-1, 1)
    assert torch.equal(decode_latents(vae, latents), expected)
    assert expected.shape == (1, 3, 128, 128)


def test_the_autoencoder_has_no_gradient(vae, images):
    assert not encode_source(vae, images).requires_grad
    assert not any(parameter.requires_grad for parameter in vae.parameters())
