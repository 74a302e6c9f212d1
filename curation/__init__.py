"""A listing of GIFs in, WebDataset shards of frame pairs with measured motion out."""
