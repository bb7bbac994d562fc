"""PyTorch's own nonlinearities where the table's general way does not reach them."""

from __future__ import annotations

from tests.ops.reference import TORCH_ONNX_CANNOT

TORCH_ONNX_CANNOT |= {
    f"{name}-{i}": "the TorchScript exporter leaves integers to operators that take none"
    for names, cases in {
        ("ReLU", "relu"): (2,),
        ("Sigmoid", "sigmoid", "Tanh", "tanh"): (2, 3, 4),
    }.items()
    for name in names
    for i in cases
}
TORCH_ONNX_CANNOT |= {
    "Softplus-2": "the TorchScript exporter drops `threshold`",
    "softplus-2": "the TorchScript exporter drops `threshold`",
    "Threshold": "the TorchScript exporter knows the threshold 0 only",
    "threshold": "the TorchScript exporter knows the threshold 0 only",
}
TORCH_ONNX_CANNOT |= {
    f"{name}-3": "writes a node without an axis, which ONNX Runtime refuses"
    for name in ("Softmax", "LogSoftmax", "Softmin", "softmax", "log_softmax", "softmin")
}
TORCH_ONNX_CANNOT |= dict.fromkeys(
    ("LogSigmoid-1", "logsigmoid-1"), "the TorchScript exporter takes the logarithm of a sigmoid"
)
