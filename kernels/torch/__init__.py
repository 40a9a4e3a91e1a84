"""The torch backend: batches of tiles as dense products in plain PyTorch, on any device that it runs on."""
