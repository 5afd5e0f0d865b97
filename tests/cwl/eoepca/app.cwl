# An Application Package of somebody: takes a staged product, leaves a folder.
cwlVersion: v1.2
$namespaces:
  s: https://schema.org/
s:name: copy-catalog
s:description: Copy the catalog of a product
s:softwareVersion: "1.0.0"
s:dateCreated: "2026-11-22"
s:license: https://spdx.org/licenses/Apache-2.0
s:publisher: {"@type": s:Organization, s:name: Somebody}
s:author: []
s:softwareHelp: {"@type": s:CreativeWork, s:name: none}
$graph:
  - class: Workflow
    id: copy-catalog
    label: Copy the catalog of a product
    doc: Leaves a folder with the catalog.json and the item of a staged product.
    inputs:
      product: {type: Directory, label: Product, doc: A staged product}
    outputs:
      copied: {type: Directory, label: Copy, doc: What was copied, outputSource: copy/copied}
    steps:
      copy:
        run: "#copy"
        in: {product: product}
        out: [copied]
  - class: CommandLineTool
    id: copy
    requirements:
      ResourceRequirement: {coresMin: 1, coresMax: 1, ramMin: 64, ramMax: 64}
    hints:
      DockerRequirement: {dockerPull: "localhost/stage-in:0.2.0"}
    baseCommand: cp
    arguments: [-r, $(inputs.product.path), copy]
    inputs:
      product: {type: Directory, label: Product, doc: A staged product}
    outputs:
      copied: {type: Directory, outputBinding: {glob: copy}}
