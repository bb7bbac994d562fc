"""What `tools/bench_train.py` measures, and with what it compares."""
