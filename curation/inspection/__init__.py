"""Inspect a finished data set: plan, audit, replay, motion of one GIF, report and viewer."""
