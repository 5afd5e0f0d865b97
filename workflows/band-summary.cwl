cwlVersion: v1.2
class: CommandLineTool
id: band-summary
label: Summarise the bands of a staged product
doc: >-
  Prints the size and the mean of each band as JSON. This step relies only on conventions that any
  stage-in step follows: the folder contains a catalog.json, its first item is the product, the
  bands are the assets with the role data, and eo:bands names them.

baseCommand: python3
arguments: [band-summary.py]

requirements:
  InitialWorkDirRequirement:
    listing:
      - entryname: band-summary.py
        entry: |
          import json
          import sys
          from pathlib import Path

          import pystac
          import rasterio
          from pystac.extensions.eo import EOExtension

          catalog = pystac.read_file(str(Path(sys.argv[1]) / "catalog.json"))
          item = next(catalog.get_items())
          bands = {}
          for key, asset in item.get_assets().items():
              if "data" not in asset.roles:
                  continue
              with rasterio.open(asset.get_absolute_href()) as source:
                  pixels = source.read(1)
              for band in EOExtension.ext(asset).bands:
                  bands[band.name] = {
                      "asset": key,
                      "common_name": band.common_name,
                      "shape": pixels.shape,
                      "mean": float(pixels.mean()),
                  }
          print(json.dumps({"item": item.id, "bands": bands}))

hints:
  DockerRequirement:
    dockerPull: localhost/stage-in:0.2.0
  ResourceRequirement:
    coresMin: 1
    ramMin: 1024

inputs:
  staged:
    type: Directory
    label: Catalog
    doc: The folder that contains catalog.json
    inputBinding: {}

stdout: bands.json

outputs:
  bands:
    type: stdout
    label: Bands
    doc: Size and mean of each band
