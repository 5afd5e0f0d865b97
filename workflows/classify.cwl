cwlVersion: v1.2
class: CommandLineTool
id: classify
label: Classify the tiles of a staged product
doc: >-
  Gives each tile of 64 x 64 pixels of 10 m a land cover by spectral indices of its reflectance, in a
  cloud-optimised GeoTIFF with a colour table, in a STAC catalog.

baseCommand: classify

requirements:
  ResourceRequirement:
    coresMin: 1
    coresMax: 1
    ramMin: 1024
    ramMax: 2048
    outdirMin: 256
    tmpdirMin: 256

hints:
  DockerRequirement:
    dockerPull: stage-in:0.1.0

inputs:
  staged:
    type: Directory
    label: Staged product
    doc: The folder of a staged product, which holds catalog.json
    inputBinding:
      prefix: --staged

outputs:
  classified:
    type: Directory
    label: Land cover
    doc: The folder that holds catalog.json
    outputBinding:
      glob: landcover
