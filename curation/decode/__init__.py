"""GIF bytes -> frames: header scan, decoder, resize, thumbnails, scene cuts, fingerprints and the probe stage."""
