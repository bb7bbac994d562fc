"""From a graph to PyTorch source and to an ONNX graph."""
