"""The command line."""

from specc.cli.app import main

__all__ = ["main"]
