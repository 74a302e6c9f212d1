"""Names on the hub, folders and single files -> the parts of Stable Diffusion."""
