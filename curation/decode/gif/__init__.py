"""Decode GIFs as browsers show them: blocks, LZW, canvas."""
