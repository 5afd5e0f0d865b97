"""The STAC catalog that comes out.

It is made from the files on disk alone. Nothing here knows of networks.
"""
