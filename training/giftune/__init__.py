"""GIF-Tune: tune a text-to-image model on one GIF and its caption, then sample GIFs of other captions with its motion.

config: settings; clip: the GIF's frames and latents; inflation, attention: the image model turned into a clip model;
losses, depth, step: the loss of one step; tuner: the loop; ddim: inversion and sampling; model: a loaded model;
saved_run: a run's folder.
"""
