cwlVersion: v1.2
class: CommandLineTool
id: classify
label: Classify the tiles of a staged product
doc: >-
  Assigns a land cover class to each tile of 64 x 64 pixels of 10 m, based on spectral indices of its
  reflectance. The result is a STAC catalog with a cloud-optimised GeoTIFF that has a colour table.

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
    dockerPull: localhost/stage-in:0.2.0

inputs:
  staged:
    type: Directory
    label: Staged product
    doc: The folder of a staged product, which contains catalog.json
    inputBinding:
      prefix: --staged

outputs:
  classified:
    type: Directory
    label: Land cover
    doc: The folder that contains catalog.json
    outputBinding:
      glob: landcover
