cwlVersion: v1.2
class: CommandLineTool
id: stage-in-s3
label: Stage a Sentinel-2 Level-1C product with keys for S3
doc: >-
  Runs the command of stage-in.cwl with keys for an S3 object store instead of a token. cwltool and
  Toil treat the keys as secrets if this is the outermost process, so a workflow that embeds it needs
  the hint cwltool:Secrets, too. Calrissian passes the tool placeholders instead of secrets, so use
  stage-in.cwl there and pass the keys in the environment of its pods.

$namespaces:
  cwltool: http://commonwl.org/cwltool#

baseCommand: stage-in
arguments:
  - prefix: --transport
    valueFrom: s3
  - prefix: --output-dir
    valueFrom: $(inputs.output_dir)

requirements:
  NetworkAccess:
    networkAccess: true
  EnvVarRequirement:
    envDef:
      AWS_ACCESS_KEY_ID: $(inputs.access_key)
      AWS_SECRET_ACCESS_KEY: $(inputs.secret_key)
      AWS_SESSION_TOKEN: $(inputs.session_token)
      AWS_ENDPOINT_URL_S3: $(inputs.endpoint)
      AWS_REGION: $(inputs.region)
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
    dockerPull: localhost/stage-in:0.2.0
  cwltool:Secrets:
    secrets: [access_key, secret_key, session_token]

inputs:
  item:
    type: string
    label: STAC item
    doc: URL of the item in a STAC API of the Copernicus Data Space, or a path if the tool runs without a container
    inputBinding:
      prefix: --input-item
  access_key:
    type: string
    label: Access key
    doc: Access key of a key pair for S3, such as cdse-token --s3 creates
  secret_key:
    type: string
    label: Secret key
    doc: Secret key of the same pair
  session_token:
    type: string
    label: Session token
    doc: Session token that belongs to temporary keys
    default: ""
  endpoint:
    type: string
    label: Endpoint
    doc: URL of an S3 service that has the bucket eodata; by default, the platform's own
    default: ""
  region:
    type: string
    label: Region
    doc: Region that the endpoint expects in signatures; by default, that of the platform
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
