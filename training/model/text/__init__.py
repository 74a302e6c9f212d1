"""Captions -> token ids -> text embeddings."""
