cwlVersion: v1.2
class: CommandLineTool
id: stage-in-eoepca
label: Stage a Sentinel-2 Level-1C product for an Application Package
doc: >-
  The stage-in step for platforms that wrap an Application Package in their own steps (ZOO-Project
  with eoap-cwlwrap). It stages one reference for each Directory input of the package. The token is
  not an input, because platforms show inputs to users and store them with the job. The tool reads
  it from the environment of the pod: CDSE_ACCESS_TOKEN, CDSE_REFRESH_TOKEN, or CDSE_USERNAME with
  CDSE_PASSWORD.

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

# There is no EnvVarRequirement because a variable that is set here, even to an empty string, would
# replace the one from the Kubernetes Secret.
requirements:
  NetworkAccess:
    networkAccess: true
  SchemaDefRequirement:
    types:
      - $import: https://raw.githubusercontent.com/eoap/schemas/main/string_format.yaml
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

outputs:
  staged:
    type: Directory
    label: Catalog
    doc: The folder that contains catalog.json
    outputBinding:
      glob: catalog

temporaryFailCodes: [75]
