cwlVersion: v1.2
class: Workflow
id: stage-in-secret
label: Stage a Sentinel-2 Level-1C product with a secret token
doc: >-
  Runs stage-in.cwl and marks the token as a secret for cwltool and Toil. They then keep it out of
  their logs and of the files that cwltool --provenance writes. Toil still stores it in its job store
  until the run has succeeded. The hint has an effect only in the outermost workflow, so a workflow
  that embeds stage-in.cwl needs it too. Calrissian passes the tool a placeholder instead of the
  secret, so use stage-in.cwl there.

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
  output_dir:
    type: string
    label: Folder
    doc: Name of the catalog folder
    default: catalog
  assets:
    type: string[]?
    label: Bands
    doc: Bands such as B04, or their names in the staged item such as red; all bands by default

outputs:
  staged:
    type: Directory
    label: Catalog
    doc: The folder that contains catalog.json
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
