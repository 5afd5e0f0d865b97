"""The STAC catalog that comes out.

Apart from the link to the platform's item, it is made from the files on disk. Nothing here uses
the network.
"""
