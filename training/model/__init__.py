"""The Pix2Gif model: latent diffusion with a motion embedding and a warping module, on diffusers and transformers."""
