"""Shared by training, generation and evaluation: devices, random state, metrics, throughput, guards."""
