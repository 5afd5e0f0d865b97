cwlVersion: v1.2
class: CommandLineTool
id: stage-in-eoepca-s3
label: Stage a Sentinel-2 Level-1C product for an Application Package over S3
doc: >-
  The stage-in step of stage-in-eoepca.cwl for platforms that pass keys for S3 to it as the inputs
  STAGEIN_AWS_SERVICEURL, STAGEIN_AWS_REGION, STAGEIN_AWS_ACCESS_KEY_ID and
  STAGEIN_AWS_SECRET_ACCESS_KEY. The service must provide the bucket eodata of the Copernicus Data
  Space. If a product is not there, and the environment of the pod contains a token, the tool
  downloads the product with the token instead.

$namespaces:
  s: https://schema.org/

s:name: stage-in
s:description: >-
  Stage Sentinel-2 Level-1C products from the Copernicus Data Space as verified, self-contained STAC
  catalogs
s:softwareVersion: "0.2.0"
s:dateCreated: "2026-11-22"
s:license: https://spdx.org/licenses/Apache-2.0
s:keywords: [Sentinel-2, Level-1C, STAC, CWL, Copernicus, stage-in]
s:operatingSystem: Linux
# The publisher of a package fills in the contact and the address of the documentation.
s:publisher:
  "@type": s:Organization
  s:name: The stage-in developers
s:author:
  "@type": s:Person
  s:givenName: The stage-in
  s:familyName: developers
  s:email: []
  s:affiliation:
    "@type": s:Organization
    s:name: The stage-in developers
s:softwareHelp:
  "@type": s:CreativeWork
  s:name: README.md and docs/ of the source code

baseCommand: stage-in
arguments:
  - prefix: --input-item
    valueFrom: $(inputs.reference.value)
  - prefix: --output-dir
    valueFrom: catalog

requirements:
  NetworkAccess:
    networkAccess: true
  SchemaDefRequirement:
    types:
      - $import: https://raw.githubusercontent.com/eoap/schemas/main/string_format.yaml
  # No variable of a token is set here, because that would replace the one of the pod.
  EnvVarRequirement:
    envDef:
      AWS_ENDPOINT_URL_S3: $(inputs.STAGEIN_AWS_SERVICEURL)
      AWS_REGION: $(inputs.STAGEIN_AWS_REGION)
      AWS_ACCESS_KEY_ID: $(inputs.STAGEIN_AWS_ACCESS_KEY_ID)
      AWS_SECRET_ACCESS_KEY: $(inputs.STAGEIN_AWS_SECRET_ACCESS_KEY)
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

inputs:
  reference:
    type: https://raw.githubusercontent.com/eoap/schemas/main/string_format.yaml#URI
    label: STAC item
    doc: URL of the item in a STAC API of the Copernicus Data Space
  STAGEIN_AWS_SERVICEURL:
    type: string
    label: S3 service
    doc: URL of an S3 service that has the bucket eodata, such as https://eodata.dataspace.copernicus.eu
  STAGEIN_AWS_REGION:
    type: string
    label: Region
    doc: Region of the S3 service
  STAGEIN_AWS_ACCESS_KEY_ID:
    type: string
    label: Access key
    doc: Access key for the S3 service
  STAGEIN_AWS_SECRET_ACCESS_KEY:
    type: string
    label: Secret key
    doc: Secret key for the S3 service

outputs:
  staged:
    type: Directory
    label: Catalog
    doc: The folder that contains catalog.json
    outputBinding:
      glob: catalog

temporaryFailCodes: [75]
