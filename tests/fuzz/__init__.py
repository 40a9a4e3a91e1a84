"""Fuzzing: what is fed to each reader (`targets.py`, and the C++ harnesses), and the inputs that are replayed (corpus/)."""
