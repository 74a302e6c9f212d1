"""GIF-Tune: one GIF and its caption in, a text-to-image model out that draws other captions with that GIF's motion.

config.py says what may be chosen; clip.py holds the GIF; inflation.py, attention.py and temporal.py make the image
model one of clips; losses.py and depth.py say what it is held to; tuner.py trains it; ddim.py and sampling.py invert
the GIF and draw others; run.py reads a run's folder again.
"""
