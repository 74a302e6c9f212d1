"""Evaluation inputs: clips, video sets and validation pairs."""
