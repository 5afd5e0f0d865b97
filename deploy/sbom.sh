#!/bin/sh
# Write a CycloneDX bill of materials of an image: sbom.sh ENGINE IMAGE FILE.cdx.json
# It lists the Debian and the Python packages that the image contains. Libraries inside wheels, such
# as GDAL and PROJ, are not listed separately.
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

# cyclonedx-py runs an interpreter to get its sys.path. The image's interpreter cannot run here, so a
# script answers instead.
cat > "$folder/python" << END
#!/bin/sh
echo '["$(echo "$folder"/opt/stage-in/lib/python3*/site-packages)"]'
END
chmod +x "$folder/python"
cyclonedx-py environment --pyproject command-line-tools/stage-in/pyproject.toml \
  --output-file "$folder/python.cdx.json" "$folder/python"

debsbom merge --sbom-type cdx --distro-name "${name%%:*}" --distro-version "${name##*:}" \
  --out "${file%.cdx.json}" "$folder/debian.cdx.json" "$folder/python.cdx.json"
