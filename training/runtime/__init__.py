"""What training, generation and evaluation share: devices, random state, metrics, throughput, guards."""
