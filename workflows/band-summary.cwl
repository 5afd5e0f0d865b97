cwlVersion: v1.2
class: CommandLineTool
id: band-summary
label: Tell what the bands of a staged product hold
doc: >-
  A step that takes a stage-in's output as steps do which know no more of it than that: the folder
  has a catalog.json, its first item is the product, the assets with the role data are the bands, and
  eo:bands says which. Prints their size and mean as JSON.

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
    dockerPull: stage-in:0.1.0
  ResourceRequirement:
    coresMin: 1
    ramMin: 1024

inputs:
  staged:
    type: Directory
    label: Catalog
    doc: The folder that holds catalog.json
    inputBinding: {}

stdout: bands.json

outputs:
  bands:
    type: stdout
    label: Bands
    doc: What each band holds
