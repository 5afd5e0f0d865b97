#!/bin/sh
# All of a release that needs no registry, into dist/: check.sh [TAG]
# With a tag, such as v0.1.0, also what only a release must have. REFERENCE is the image in its
# registry, NAME@sha256:DIGEST; without it one is made up, to see that it can be written.
set -eu
cd "$(dirname "$0")/.."
tool=command-line-tools/stage-in
reference=${REFERENCE:-registry.example/stage-in@sha256:$(sha256sum < stage-in.cwl | cut -c 1-64)}

echo "Metadata"
python deploy/metadata.py "$@"
check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

echo "Workflows of CI"
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
zizmor --offline --quiet --no-progress .github/workflows

echo "Source and wheel"
rm -rf dist
python -m build --no-isolation --outdir dist "$tool" > "${log:=$(mktemp)}" || { cat "$log"; exit 1; }
twine check --strict dist/*

echo "Installed where nothing else is"
empty=$(mktemp -d)
trap 'rm -rf "$empty" "$log"' EXIT
python -m venv "$empty"
"$empty/bin/pip" install --quiet --require-hashes --requirement "$tool/requirements.lock"
"$empty/bin/pip" install --quiet --no-deps dist/*.whl
"$empty/bin/pip" check
version=$(cd "$empty" && bin/stage-in --version)
# The wheel is named by the version of its metadata.
ls "dist/stage_in-${version##* }-"*.whl

echo "CWL, with $reference"
for file in stage-in.cwl stage-in.app.cwl; do
  python deploy/release.py "$file" "$reference" > "dist/$file"
done
for file in stage-in.cwl workflows/*.cwl dist/*.cwl; do
  # It reads a type from the Web; tests/test_cwl_suite.py, which has a copy, checks it.
  [ "$file" != workflows/stage-in-eoepca.cwl ] || continue
  cwltool --quiet --enable-ext --validate --strict "$file" > "$log" 2>&1 || { cat "$log"; exit 1; }
done
ls -l dist
