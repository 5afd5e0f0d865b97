#!/bin/sh
# Stage a product from a sandbox on this machine and classify its tiles. `make demo-classification`
# runs this script.
set -eu
. sandbox/serve.sh

folder=demo/classification
picture=$folder/classification.png
rm -rf "$folder/catalog" "$folder/landcover" # Remove the output of an earlier run.
serve "$folder" --pixels 2196

write_order "$folder/params.yml"

echo "cwltool --no-container workflows/tile-classification.cwl $folder/params.yml"
cwltool --enable-ext --no-container --preserve-environment CDSE_TRUSTED_HOSTS \
  --outdir "$folder" workflows/tile-classification.cwl "$folder/params.yml" > "$folder/output.json"

python workflows/picture.py "$folder/catalog" "$folder/landcover" "$picture"
cat << END

The land cover is in $folder/landcover. Look at its picture: $picture

What to do next:
  docs/how-it-works.md   how the tool finds, verifies and describes a product
  workflows/             copy a workflow, and replace classify.cwl with your own step
  docs/start.md          stage a product with your account of the Copernicus Data Space
END
