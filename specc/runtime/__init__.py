"""Where torch and onnx are first touched: live modules and files."""
