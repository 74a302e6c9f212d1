"""Hash of the weights of a module."""

import hashlib

import torch


def hash_weights(module: torch.nn.Module) -> str:
    """Hash names, types, shapes and bytes of a module's weights: the same weights give the same hash from any place."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        hashed.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()
