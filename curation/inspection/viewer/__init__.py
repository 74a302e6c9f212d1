"""Finished data set -> local web server that shows every sample."""
