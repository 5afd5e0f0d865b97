cwlVersion: v1.2
class: CommandLineTool
id: stage-in-eoepca
label: Stage a Sentinel-2 Level-1C product for an Application Package
doc: >-
  The stage-in of platforms that wrap an Application Package in steps of their own (ZOO-Project with
  eoap-cwlwrap): for each Directory that the package takes, one reference is staged. The token is no
  input, as those are shown to users and stored with the job: it is in the environment of the pod, as
  CDSE_ACCESS_TOKEN, CDSE_REFRESH_TOKEN, or CDSE_USERNAME with CDSE_PASSWORD.

$namespaces:
  s: https://schema.org/

s:name: stage-in
s:description: >-
  Stage Sentinel-2 Level-1C products from the Copernicus Data Space as verified, self-contained STAC
  catalogs
s:softwareVersion: "0.1.0"
s:dateCreated: "2026-11-22"
s:license: https://spdx.org/licenses/Apache-2.0
s:keywords: [Sentinel-2, Level-1C, STAC, CWL, Copernicus, stage-in]
s:operatingSystem: Linux
# Who publishes a package fills in whom to ask, and where its documentation is to be read.
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

# No EnvVarRequirement: a variable that is set here, be it to nothing, hides the one of the Secret.
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
    dockerPull: stage-in:0.1.0

inputs:
  reference:
    type: https://raw.githubusercontent.com/eoap/schemas/main/string_format.yaml#URI
    label: STAC item
    doc: URL of the product in a STAC API of the platform

outputs:
  staged:
    type: Directory
    label: Catalog
    doc: The folder that holds catalog.json
    outputBinding:
      glob: catalog

temporaryFailCodes: [75]
