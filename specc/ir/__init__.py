"""Sizes, types and graphs."""
