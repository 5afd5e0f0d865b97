"""The product on disk, in the SAFE format.

Its manifest, metadata, rasters and radiometry, and the check that a file is what the manifest
says. Nothing here uses the network.
"""
