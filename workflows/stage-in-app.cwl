# The Application Package (OGC 20-089r1); platforms deploy the one file that `make package` makes.
cwlVersion: v1.2
class: Workflow
id: stage-in-app
label: Stage a Sentinel-2 Level-1C product
doc: >-
  Given a STAC item of a Sentinel-2 Level-1C product in the Copernicus Data Space Ecosystem and a
  token, leaves a verified, self-contained STAC catalog of the product.

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
    label: Stage
    doc: Stage the product and verify each of its files
    run: ../stage-in.cwl
    in:
      item: item
      access_token: access_token
      output_dir: output_dir
      assets: assets
    out: [staged]
