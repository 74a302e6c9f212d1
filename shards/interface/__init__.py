"""What both programs share to talk to their user: options, values of configs, progress, printable text."""
