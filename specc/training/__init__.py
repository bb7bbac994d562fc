"""Data, training loop, checkpoints and metrics.

`specc.training.data` needs no torch, so that a prediction through ONNX Runtime can read and
encode rows with it; everything else here imports torch.
"""
