"""Measures what staging a product costs, compared with what users do today."""
