"""Inputs of evaluation: clips of any program, UCF-101 and MSR-VTT, pairs of a data set's val split."""
