"""Frames of a model -> the figures of the paper. One file a metric, one a table; each metric takes anybody's frames."""
