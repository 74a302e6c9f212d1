"""The metrics: pure functions of frames or features, and the networks that compute the features."""
