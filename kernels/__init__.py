"""The kernels: a contract (contract.py), its float64 definition (reference.py), and three backends that meet it."""
