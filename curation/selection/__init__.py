"""Flow table -> kept pairs: pair counts, the flat histogram, near-duplicates."""
