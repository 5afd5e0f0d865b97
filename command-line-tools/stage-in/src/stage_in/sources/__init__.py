"""Where the bytes of a product come from.

The platform's STAC item, the product that it describes, and the sources that deliver its files:
each implements `source.Source`.
"""
