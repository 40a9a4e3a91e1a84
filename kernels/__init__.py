"""Training kernels: arrays and numbers only. Imported as `w2vfast.kernels`; see contract.py for what each backend does."""
