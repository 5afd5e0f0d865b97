cwlVersion: v1.2
class: Workflow
id: tile-classification
label: Classify the tiles of a Sentinel-2 Level-1C product
doc: >-
  Stages the bands of a product that the classification needs, and classifies its tiles of 64 x 64
  pixels. cwltool and Toil treat the token as a secret. Calrissian cannot run this workflow
  unchanged; see stage-in-secret.cwl.

$namespaces:
  cwltool: http://commonwl.org/cwltool#

hints:
  cwltool:Secrets:
    secrets: [access_token]

inputs:
  item:
    type: string
    label: STAC item
    doc: URL of the item in a STAC API of the Copernicus Data Space, or a path if the tool runs without a container
  access_token:
    type: string
    label: Token
    doc: Access token or refresh token of a Copernicus Data Space account
    default: ""
  assets:
    type: string[]
    label: Bands
    doc: Bands to stage; by default, those that the classification reads and the true colour image
    default: [B02, B03, B04, B08, B10, B11, TCI]

outputs:
  classified:
    type: Directory
    label: Land cover
    doc: The land cover folder, which contains catalog.json
    outputSource: classify/classified
  staged:
    type: Directory
    label: Staged product
    doc: The folder of the staged product, which contains catalog.json
    outputSource: stage-in/staged

steps:
  stage-in:
    run: ../stage-in.cwl
    in:
      item: item
      access_token: access_token
      assets: assets
    out: [staged]
  classify:
    run: classify.cwl
    in:
      staged: stage-in/staged
    out: [classified]
