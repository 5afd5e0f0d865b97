cwlVersion: v1.2
class: Workflow
id: tutorial
label: Stage a Sentinel-2 Level-1C product and summarise its bands
doc: >-
  Shows how a workflow embeds stage-in.cwl. It passes item and access_token to it, and passes its
  output staged to the next step.

inputs:
  item:
    type: string
    label: STAC item
    doc: URL of the item in a STAC API of the Copernicus Data Space, or a path if the tool runs without a container
  access_token:
    type: string
    label: Token
    doc: Access token or refresh token of a Copernicus Data Space account

outputs:
  bands:
    type: File
    label: Bands
    doc: Size and mean of each band, as JSON
    outputSource: band-summary/bands

steps:
  stage-in:
    run: ../stage-in.cwl
    in:
      item: item
      access_token: access_token
    out: [staged]
  band-summary:
    run: band-summary.cwl
    in:
      staged: stage-in/staged
    out: [bands]
