cwlVersion: v1.2
class: Workflow
id: stage-in-many
label: Stage Sentinel-2 Level-1C products
doc: >-
  Runs stage-in.cwl for each of several items. Their folders have distinct names, given in the order
  of the items: folders of one name would be merged into one, with the catalog.json of one product
  for all. The token is a secret to cwltool and Toil; not for Calrissian as it is, see
  stage-in-secret.cwl.

requirements:
  ScatterFeatureRequirement: {}

$namespaces:
  cwltool: http://commonwl.org/cwltool#

hints:
  cwltool:Secrets:
    secrets: [access_token]

inputs:
  item:
    type: string[]
    label: STAC items
    doc: URLs of the products in a STAC API of the platform, or paths where the tool runs without a container
  access_token:
    type: string
    label: Token
    doc: Access token or refresh token of an account of the platform
    default: ""
  output_dir:
    type: string[]
    label: Folders
    doc: Distinct names of the folders of the catalogs, as many as there are items
  assets:
    type: string[]?
    label: Bands
    doc: Bands such as B04, or their names in the staged item such as red; all where none is given

outputs:
  staged:
    type: Directory[]
    label: Catalogs
    doc: The folders, each with its catalog.json, in the order of the items
    outputSource: stage-in/staged

steps:
  stage-in:
    run: ../stage-in.cwl
    scatter: [item, output_dir]
    scatterMethod: dotproduct
    in:
      item: item
      access_token: access_token
      output_dir: output_dir
      assets: assets
    out: [staged]
