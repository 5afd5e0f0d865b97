"""Holds `app.app`; imports nothing, so that `python -m app.app` does not warn."""
