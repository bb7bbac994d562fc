"""The proof that an ONNX file computes what the PyTorch model computes.

Nothing is imported here: `specc.parity.vectors` works where there is no torch.
"""
