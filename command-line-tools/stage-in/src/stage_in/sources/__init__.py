"""Where the bytes of a product come from.

The platform's STAC item, the product that it describes, and the sources that deliver its files.
Each source implements `source.Source`. `staging` tries the sources in turn, and `download` fetches
the files from one.
"""
