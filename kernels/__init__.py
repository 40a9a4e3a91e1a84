"""Training kernels: arrays and numbers only. Imported as `w2vfast.kernels`; contract.py says what a backend does."""
