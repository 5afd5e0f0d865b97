cwlVersion: v1.2
class: CommandLineTool
id: stage-in-items
label: Stage the Sentinel-2 Level-1C products of a search
doc: >-
  Downloads and verifies the Sentinel-2 Level-1C products that a search in a STAC API of the
  Copernicus Data Space Ecosystem has found, and writes one self-contained STAC catalog of them.

baseCommand: stage-in
arguments:
  - prefix: --output-dir
    valueFrom: $(inputs.output_dir)

requirements:
  NetworkAccess:
    networkAccess: true
  EnvVarRequirement:
    envDef:
      CDSE_ACCESS_TOKEN: $(inputs.access_token)
      STAGE_IN_OUTPUT_GLOB: $(inputs.output_dir)
  ResourceRequirement:
    coresMin: 1
    coresMax: 1
    ramMin: 512
    ramMax: 1024
    outdirMin: 20480
    tmpdirMin: 256

hints:
  DockerRequirement:
    dockerPull: localhost/stage-in:0.2.0

inputs:
  items:
    type: File
    label: STAC items
    doc: A STAC ItemCollection, such as pystac-client saves or a STAC API returns for a search, or one item
    inputBinding:
      prefix: --input-item
  access_token:
    type: string
    label: Token
    doc: Access token or refresh token of a Copernicus Data Space account
    default: ""
  output_dir:
    type: string
    label: Folder
    doc: Name of the catalog folder; must differ between the jobs of a scattered step
    default: catalog
  assets:
    type: string[]?
    label: Bands
    doc: Bands such as B04, or their names in the staged item such as red; all bands by default
    inputBinding:
      prefix: --assets
      itemSeparator: ","

outputs:
  staged:
    type: Directory
    label: Catalog
    doc: The folder that contains catalog.json
    outputBinding:
      glob: $(inputs.output_dir)

temporaryFailCodes: [75]
