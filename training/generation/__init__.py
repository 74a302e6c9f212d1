"""Generation: images, prompts and motion magnitudes -> GIFs, videos or pictures, and sheets that show why."""
