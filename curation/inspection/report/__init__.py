"""Finished data set -> report.html: one self-contained page with counts, charts and sample pairs."""
