"""Fuzzing: what is fed to each reader (`targets.py`, C++ harnesses), and inputs that are replayed (corpus/)."""
