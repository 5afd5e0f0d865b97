cwlVersion: v1.2
class: Workflow
id: tutorial
label: Stage a Sentinel-2 Level-1C product and tell what its bands hold
doc: >-
  How a workflow embeds stage-in.cwl: it passes item and access_token, and hands staged to the step
  that follows.

inputs:
  item:
    type: string
    label: STAC item
    doc: URL of the product in a STAC API of the platform, or a path where the tool runs without a container
  access_token:
    type: string
    label: Token
    doc: Access token or refresh token of an account of the platform

outputs:
  bands:
    type: File
    label: Bands
    doc: What each band holds, as JSON
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
