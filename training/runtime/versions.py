"""What a run depends on, by version."""

import importlib.metadata
import platform

import torch

_PACKAGES = ("accelerate", "diffusers", "numpy", "pix2gif", "safetensors", "torch", "transformers")


def software_versions() -> dict[str, str]:
    """Return the versions of what a run depends on, by name; what is not installed is left out."""
    versions = {"python": platform.python_version(), "cuda": str(torch.version.cuda)}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
