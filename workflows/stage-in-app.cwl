# The Application Package (OGC 20-089r1). Platforms deploy the single file that `make package` writes.
cwlVersion: v1.2
class: Workflow
id: stage-in-app
label: Stage a Sentinel-2 Level-1C product
doc: >-
  Downloads and verifies a Sentinel-2 Level-1C product of the Copernicus Data Space Ecosystem, and
  writes a self-contained STAC catalog of it.

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
    label: Stage
    doc: Downloads the product and verifies each file
    run: ../stage-in.cwl
    in:
      item: item
      access_token: access_token
      output_dir: output_dir
      assets: assets
    out: [staged]
