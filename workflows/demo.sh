#!/bin/sh
# Stage a product from a sandbox on this machine and classify its tiles. `make demo-classification`
# runs this script.
set -eu
. sandbox/serve.sh

folder=demo/classification
rm -rf "$folder/catalog" "$folder/landcover" # Remove the output of an earlier run.
serve "$folder" --pixels 2196

# The job order contains a token, so only the user may read it.
umask 077
cat > "$folder/params.yml" << END
item: $SANDBOX_ITEM
access_token: $CDSE_ACCESS_TOKEN
END

echo "cwltool --no-container workflows/tile-classification.cwl $folder/params.yml"
cwltool --no-container --preserve-environment CDSE_TRUSTED_HOSTS \
  --outdir "$folder" workflows/tile-classification.cwl "$folder/params.yml" > "$folder/output.json"

python workflows/picture.py "$folder/catalog" "$folder/landcover" docs/classification.png
echo
echo "The land cover is in $folder/landcover, the picture is docs/classification.png"
