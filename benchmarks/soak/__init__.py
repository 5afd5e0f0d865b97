"""Stages hundreds of products while faults happen, in one process and by jobs side by side."""
