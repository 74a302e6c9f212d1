"""Fuzz what strangers give us: listings, manifests, records, shards, latent caches, answers of web servers.

`python -m tests.fuzz KIND --seed 7` repeats a seed, and `--count 10000` runs as many from there.
"""
