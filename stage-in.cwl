cwlVersion: v1.2
class: CommandLineTool
id: stage-in
label: Stage a Sentinel-2 Level-1C product
doc: >-
  Given a STAC item of a Sentinel-2 Level-1C product in the Copernicus Data Space Ecosystem and a
  token, leaves a verified, self-contained STAC catalog of the product.

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
    outdirMin: 2048
    tmpdirMin: 256

hints:
  DockerRequirement:
    dockerPull: stage-in:0.1.0

inputs:
  item:
    type: string
    label: STAC item
    doc: URL of the product in a STAC API of the platform, or a path where the tool runs without a container
    inputBinding:
      prefix: --input-item
  access_token:
    type: string
    label: Token
    doc: Access token or refresh token of an account of the platform
    default: ""
  output_dir:
    type: string
    label: Folder
    doc: Name of the folder of the catalog; distinct ones are needed where the tool is scattered
    default: catalog
  assets:
    type: string[]?
    label: Bands
    doc: Bands such as B04, or their names in the staged item such as red; all where none is given
    inputBinding:
      prefix: --assets
      itemSeparator: ","

outputs:
  staged:
    type: Directory
    label: Catalog
    doc: The folder that holds catalog.json
    outputBinding:
      glob: $(inputs.output_dir)

temporaryFailCodes: [75]
