"""Kept pairs -> shards: plan, encode, pack, clip verdicts, manifest and dataset card."""
