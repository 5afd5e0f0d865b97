#!/bin/sh
# Write what an image holds as CycloneDX: sbom.sh ENGINE IMAGE FILE.cdx.json
# Debian's packages and Python's are read from the image itself. The libraries inside Python's
# wheels (GDAL, PROJ, …) are told by the wheels that hold them.
set -eu
engine=$1 image=$2 file=$3
name=${image##*/}
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
container=$("$engine" create "$image")
trap '"$engine" rm "$container" > "$folder/removed"; rm -rf "$folder"' EXIT

"$engine" export --output "$folder/image.tar" "$container"
tar -x -C "$folder" -f "$folder/image.tar" opt/stage-in

debsbom generate --sbom-type cdx --root "$folder/image.tar" --out "$folder/debian" \
  2> "$folder/debian.log" || { cat "$folder/debian.log" >&2; exit 1; }

# cyclonedx-py asks an interpreter for its path. The image's own doesn't run outside of it.
cat > "$folder/python" << END
#!/bin/sh
echo '["$(echo "$folder"/opt/stage-in/lib/python3*/site-packages)"]'
END
chmod +x "$folder/python"
cyclonedx-py environment --pyproject command-line-tools/stage-in/pyproject.toml \
  --output-file "$folder/python.cdx.json" "$folder/python"

debsbom merge --sbom-type cdx --distro-name "${name%%:*}" --distro-version "${name##*:}" \
  --out "${file%.cdx.json}" "$folder/debian.cdx.json" "$folder/python.cdx.json"
