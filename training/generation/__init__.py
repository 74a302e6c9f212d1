"""Generation: an image, a prompt and motion magnitudes -> a GIF, a video or PNG frames, and a contact sheet."""
