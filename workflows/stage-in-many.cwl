cwlVersion: v1.2
class: Workflow
id: stage-in-many
label: Stage Sentinel-2 Level-1C products
doc: >-
  Runs stage-in.cwl for each of several items. Each folder has the name of its item, so the items
  must differ in the last part of their URLs. The runner needs Node.js to derive these names.
  cwltool and Toil treat the token as a secret. Calrissian cannot run this workflow unchanged; see
  stage-in-secret.cwl.

requirements:
  InlineJavascriptRequirement: {}
  ScatterFeatureRequirement: {}
  StepInputExpressionRequirement: {}

$namespaces:
  cwltool: http://commonwl.org/cwltool#

hints:
  cwltool:Secrets:
    secrets: [access_token]

inputs:
  item:
    type: string[]
    label: STAC items
    doc: URLs of the items in a STAC API of the Copernicus Data Space, or paths if the tool runs without a container
  access_token:
    type: string
    label: Token
    doc: Access token or refresh token of a Copernicus Data Space account
    default: ""
  assets:
    type: string[]?
    label: Bands
    doc: Bands such as B04, or their names in the staged item such as red; all bands by default

outputs:
  staged:
    type: Directory[]
    label: Catalogs
    doc: The folders, each with its catalog.json, in the order of the items
    outputSource: stage-in/staged

steps:
  stage-in:
    run: ../stage-in.cwl
    scatter: item
    in:
      item: item
      access_token: access_token
      output_dir:
        valueFrom: $(inputs.item.split("?")[0].split("/").filter(Boolean).pop().replace(/\.SAFE$/, "").replace(/^\.+/, "_").replace(/[^\w.-]/g, "_"))
      assets: assets
    out: [staged]
