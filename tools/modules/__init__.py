"""Modules of `torch.nn` as other people test them, for `check_modules.py`."""
