"""Atomic checkpoints: save, validate, restore."""
