import torch

from training.runtime.weights import hash_weights


def test_the_hash_depends_on_the_weights_alone():
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert hash_weights(first) != hash_weights(second)
    second.load_state_dict(first.state_dict())
    assert hash_weights(first) == hash_weights(second)


def test_the_hash_depends_on_names_dtypes_and_shapes():
    module = torch.nn.Linear(4, 4, bias=False)
    hashes = {hash_weights(module), hash_weights(torch.nn.Sequential(module)), hash_weights(module.half())}
    module.weight.data = module.weight.data.reshape(2, 8)
    assert len(hashes | {hash_weights(module)}) == 4
