"""A Copernicus Data Space on 127.0.0.1, with products of its own making, for tests."""
