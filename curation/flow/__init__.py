"""Frames -> flow table: motion of every frame pair, by the all-pairs kernel or the OpenCV reference."""
