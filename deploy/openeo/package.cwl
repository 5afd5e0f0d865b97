# openEO copies this one file to its cluster, and Calrissian runs the process `main` in it. Put your own
# steps in the place of `classify`. The process `stage-in` is that of stage-in.cwl without a token.
cwlVersion: v1.2
$graph:
  - class: Workflow
    id: main
    label: Classify the tiles of a Sentinel-2 Level-1C product
    doc: >-
      Stages the bands of a product that the classification needs, and classifies its tiles of 64 x 64
      pixels. openEO sets AWS_ENDPOINT_URL_S3, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
      AWS_SESSION_TOKEN in the environment of each pod, with which the product is downloaded over S3.
    inputs:
      item:
        type: string
        label: STAC item
        doc: URL of the item in a STAC API of the Copernicus Data Space
      assets:
        type: string[]
        label: Bands
        doc: Bands to stage; the default is those that the classification reads
        default: [B02, B03, B04, B08, B10, B11]
    outputs:
      # openEO reads the first catalog.json that it finds, so the staged product is no output.
      classified:
        type: Directory
        label: Land cover
        doc: The land cover folder, which contains catalog.json
        outputSource: classify/classified
    steps:
      stage-in:
        run: "#stage-in"
        in:
          item: item
          assets: assets
        out: [staged]
      classify:
        run: "#classify"
        in:
          staged: stage-in/staged
        out: [classified]

  - class: CommandLineTool
    id: stage-in
    label: Stage a Sentinel-2 Level-1C product
    doc: >-
      Downloads and verifies a Sentinel-2 Level-1C product of the Copernicus Data Space Ecosystem, and
      writes a self-contained STAC catalog of it.
    baseCommand: stage-in
    arguments:
      - prefix: --output-dir
        valueFrom: catalog
    requirements:
      NetworkAccess:
        networkAccess: true
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
      item:
        type: string
        label: STAC item
        doc: URL of the item in a STAC API of the Copernicus Data Space
        inputBinding:
          prefix: --input-item
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
          glob: catalog
    temporaryFailCodes: [75]

  - class: CommandLineTool
    id: classify
    label: Classify the tiles of a staged product
    doc: >-
      Assigns a land cover class to each tile of 64 x 64 pixels of 10 m, based on spectral indices of its
      reflectance. The result is a STAC catalog with a cloud-optimised GeoTIFF that has a colour table.
    baseCommand: classify
    requirements:
      ResourceRequirement:
        coresMin: 1
        coresMax: 1
        ramMin: 1024
        ramMax: 2048
        outdirMin: 256
        tmpdirMin: 256
    hints:
      DockerRequirement:
        dockerPull: localhost/stage-in:0.2.0
    inputs:
      staged:
        type: Directory
        label: Staged product
        doc: The folder of a staged product, which contains catalog.json
        inputBinding:
          prefix: --staged
    outputs:
      classified:
        type: Directory
        label: Land cover
        doc: The folder that contains catalog.json
        outputBinding:
          glob: landcover
