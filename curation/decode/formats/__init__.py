"""Animations of every format -> frames: GIF, WebP, APNG, AVIF and video, behind one door (`animation.py`)."""
