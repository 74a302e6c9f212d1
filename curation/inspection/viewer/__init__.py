"""A finished data set -> pages in a browser, served from this machine alone: every sample of every shard."""
