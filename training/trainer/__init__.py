"""The training loop: configuration, loss step, prefetch, preview, latent encoding."""
