import torch

from training.trainer.flops import count_sample_flops, measure_flops
from training.trainer.trainer import Trainer


def test_flops_count_forward_and_backward() -> None:
    first, second = torch.nn.Linear(10, 20, bias=False), torch.nn.Linear(20, 5, bias=False)
    x = torch.randn(3, 10)
    forward = 2 * 3 * (10 * 20 + 20 * 5)
    assert measure_flops(lambda: second(first(x))) == forward
    # Backward computes the gradients of both weights and of the activations between them; x has none.
    assert measure_flops(lambda: second(first(x)).sum().backward()) == forward + 2 * 3 * (10 * 20 + 2 * 20 * 5)


def test_attention_is_counted_as_its_matrix_products() -> None:
    batch, heads, length, width = 2, 4, 16, 8
    query = torch.randn(batch, heads, length, width, requires_grad=True)
    product = 2 * batch * heads * length * length * width

    def attend() -> None:
        torch.nn.functional.scaled_dot_product_attention(query, query, query).sum().backward()

    assert measure_flops(attend) == 2 * product + 4 * product


def test_flops_exclude_what_gradient_checkpointing_recomputes(small_shards, tmp_path, make_config):
    flops = []
    for checkpointing in (False, True):
        trainer = Trainer(make_config(gradient_checkpointing=checkpointing), str(small_shards), tmp_path)
        with trainer.stream:
            flops.append(count_sample_flops(trainer.model, trainer.loss_step, next(iter(trainer.stream))))
        assert trainer.model.unet.is_gradient_checkpointing == checkpointing
        assert all(parameter.grad is None for parameter in trainer.model.parameters())
    assert flops[0] == flops[1] > 0
