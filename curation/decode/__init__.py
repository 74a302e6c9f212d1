"""Bytes of a GIF -> frames: header scan, decoder, resize, thumbnails, scene cuts, fingerprints."""
