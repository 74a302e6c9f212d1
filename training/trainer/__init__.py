"""The training loop: config, loss step, prefetching, validation GIFs, latent cache."""
