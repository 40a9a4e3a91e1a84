"""The native CPU backend: C++ kernels (*.hpp), and the Step that drives the widest build that this processor runs."""
