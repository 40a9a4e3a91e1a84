"""The Triton backend: persistent kernels that plan, gather, multiply, cap and scatter in one launch."""
