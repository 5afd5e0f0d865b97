cwlVersion: v1.2
class: Workflow
id: tile-classification
label: Land cover of a Sentinel-2 Level-1C product, by tiles
doc: >-
  Stages the bands that are needed of a product, and classifies its tiles of 64 x 64 pixels. The
  token is a secret to cwltool and Toil; not for Calrissian as it is, see stage-in-secret.cwl.

$namespaces:
  cwltool: http://commonwl.org/cwltool#

hints:
  cwltool:Secrets:
    secrets: [access_token]

inputs:
  item:
    type: string
    label: STAC item
    doc: URL of the product in a STAC API of the platform, or a path where the tool runs without a container
  access_token:
    type: string
    label: Token
    doc: Access token or refresh token of an account of the platform
    default: ""
  assets:
    type: string[]
    label: Bands
    doc: The bands that the classification reads, and the true colour image
    default: [B02, B03, B04, B08, B10, B11, TCI]

outputs:
  classified:
    type: Directory
    label: Land cover
    doc: The folder of the land cover, which holds catalog.json
    outputSource: classify/classified
  staged:
    type: Directory
    label: Staged product
    doc: The folder of the staged product, which holds catalog.json
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
