import torch

from training.runtime.sample_noise import draw_noise


def test_a_sample_draws_the_same_numbers_in_any_batch():
    batch = draw_noise([7, 3, 1_000_000], 5, (4, 8, 8), 1000)
    for row, position in enumerate([7, 3, 1_000_000]):
        alone = draw_noise([position], 5, (4, 8, 8), 1000)
        for name in ("noise", "posterior", "timesteps", "condition"):
            assert torch.equal(getattr(batch, name)[row], getattr(alone, name)[0])


def test_positions_and_seeds_draw_different_numbers():
    first = draw_noise([0], 0, (4, 8, 8), 1000)
    for other in (draw_noise([1], 0, (4, 8, 8), 1000), draw_noise([0], 1, (4, 8, 8), 1000)):
        assert not torch.equal(first.noise, other.noise)
    assert not torch.equal(first.noise, first.posterior)


def test_numbers_have_the_documented_distributions():
    drawn = draw_noise(range(2000), 0, (4, 4, 4), 1000)
    assert abs(drawn.noise.mean()) < 0.02
    assert abs(drawn.noise.std() - 1) < 0.02
    assert drawn.timesteps.min() >= 0
    assert drawn.timesteps.max() < 1000
    assert abs(drawn.timesteps.float().mean() - 499.5) < 25
    assert ((drawn.condition >= 0) & (drawn.condition < 1)).all()
    assert abs((drawn.condition < 0.1).float().mean() - 0.1) < 0.025
