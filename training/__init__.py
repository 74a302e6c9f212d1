"""Shards in, a trained Pix2Gif model out. The only room that may import torch."""
