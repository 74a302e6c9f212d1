"""A model -> its folder, with card and code that diffusers loads; the folder -> a model.

from training.model.saved import load_pipeline

pipeline = load_pipeline("run/model")
"""

from training.model.saved.folder import load_model, load_pipeline, save_pipeline

__all__ = ["load_model", "load_pipeline", "save_pipeline"]
