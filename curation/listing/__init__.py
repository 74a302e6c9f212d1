"""Rows of a listing -> clips: captions, splits, keys."""
