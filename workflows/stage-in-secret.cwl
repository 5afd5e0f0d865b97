cwlVersion: v1.2
class: Workflow
id: stage-in-secret
label: Stage a Sentinel-2 Level-1C product, the token being a secret
doc: >-
  Runs stage-in.cwl, and tells cwltool and Toil that the token is a secret, which keeps it out of
  their logs and out of what cwltool --provenance writes; stage-in.cwl by itself can not. Toil has
  it in its job store nevertheless, until the run has succeeded. The hint counts in the outermost
  workflow only: one of your own around stage-in.cwl must have it too. Not for Calrissian, which
  hands the tool a placeholder in place of a secret: run stage-in.cwl there.

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
  output_dir:
    type: string
    label: Folder
    doc: Name of the folder of the catalog
    default: catalog
  assets:
    type: string[]?
    label: Bands
    doc: Bands such as B04, or their names in the staged item such as red; all where none is given

outputs:
  staged:
    type: Directory
    label: Catalog
    doc: The folder that holds catalog.json
    outputSource: stage-in/staged

steps:
  stage-in:
    run: ../stage-in.cwl
    in:
      item: item
      access_token: access_token
      output_dir: output_dir
      assets: assets
    out: [staged]
