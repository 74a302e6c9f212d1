"""Versions of the software that a result depends on."""

import importlib.metadata
import platform

import torch


def software_versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python, CUDA and `packages` by name; "none" for what is not installed."""
    versions = {"python": platform.python_version(), "cuda": torch.version.cuda or "none"}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "none"
    return versions
