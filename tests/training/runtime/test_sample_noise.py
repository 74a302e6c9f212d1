import torch

from training.runtime.sample_noise import draw


def test_a_sample_draws_the_same_whatever_stands_beside_it():
    together = draw([7, 3, 1_000_000], 5, (4, 8, 8), 1000)
    for row, position in enumerate([7, 3, 1_000_000]):
        alone = draw([position], 5, (4, 8, 8), 1000)
        for name in ("noise", "posterior", "timesteps", "condition"):
            assert torch.equal(getattr(together, name)[row], getattr(alone, name)[0])


def test_other_positions_and_seeds_draw_otherwise():
    first = draw([0], 0, (4, 8, 8), 1000)
    for other in (draw([1], 0, (4, 8, 8), 1000), draw([0], 1, (4, 8, 8), 1000)):
        assert not torch.equal(first.noise, other.noise)
    assert not torch.equal(first.noise, first.posterior)


def test_draws_are_distributed_as_they_should_be():
    drawn = draw(range(2000), 0, (4, 4, 4), 1000)
    assert abs(drawn.noise.mean()) < 0.02
    assert abs(drawn.noise.std() - 1) < 0.02
    assert drawn.timesteps.min() >= 0
    assert drawn.timesteps.max() < 1000
    assert abs(drawn.timesteps.float().mean() - 499.5) < 25
    assert ((drawn.condition >= 0) & (drawn.condition < 1)).all()
    assert abs((drawn.condition < 0.1).float().mean() - 0.1) < 0.025
