# The other end of what a platform wraps a package in: says where the folder is.
cwlVersion: v1.2
class: CommandLineTool
id: stage-out
$namespaces:
  s: https://schema.org/
s:name: stage-out
s:description: Say where results are
s:softwareVersion: "1.0.0"
s:dateCreated: "2026-11-22"
s:license: https://spdx.org/licenses/Apache-2.0
s:publisher: {"@type": s:Organization, s:name: Somebody}
s:author: []
s:softwareHelp: {"@type": s:CreativeWork, s:name: none}
requirements:
  InlineJavascriptRequirement: {}
  SchemaDefRequirement:
    types:
      - $import: https://raw.githubusercontent.com/eoap/schemas/main/string_format.yaml
  ResourceRequirement: {coresMin: 1, coresMax: 1, ramMin: 64, ramMax: 64}
hints:
  DockerRequirement: {dockerPull: "localhost/stage-in:0.2.0"}
baseCommand: ls
arguments: [$(inputs.results.path)]
stdout: listing.txt
inputs:
  results: {type: Directory, label: Results, doc: What the package left}
outputs:
  stored:
    type: https://raw.githubusercontent.com/eoap/schemas/main/string_format.yaml#URI
    label: Address
    doc: Where the results are
    outputBinding:
      glob: listing.txt
      loadContents: true
      outputEval: '$({"value": self[0].contents})'
