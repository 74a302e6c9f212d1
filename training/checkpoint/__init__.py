"""Atomic, verified checkpoints: save, find, load."""
