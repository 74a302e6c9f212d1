"""The metrics, as pure functions on frames or features, and the networks that they need."""
