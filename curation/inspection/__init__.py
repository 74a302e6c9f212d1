"""Look at a finished data set: plan, audit, replay, one GIF's motion, the report and the viewer."""
