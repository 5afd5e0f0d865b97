#!/bin/sh
# Build and check the files of a release in dist/, as far as this needs no registry: check.sh [TAG]
# A tag such as v0.2.0 adds the checks that only a release has to pass. REFERENCE names the image in
# its registry as HOST/NAME@sha256:DIGEST. The default is an invented one, which tests the step.
set -eu
cd "$(dirname "$0")/.."
tool=command-line-tools/stage-in
reference=${REFERENCE:-registry.example/stage-in@sha256:$(sha256sum < stage-in.cwl | cut -c 1-64)}

echo "Metadata"
python -m deploy.metadata "$@"
check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

echo "GitHub workflows"
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
zizmor --offline --quiet --no-progress .github/workflows

echo "Source distribution and wheel"
rm -rf dist
python -m build --no-isolation --outdir dist "$tool" > "${log:=$(mktemp)}" || { cat "$log"; exit 1; }
twine check --strict dist/*

echo "Recipe for conda-forge"
python -m deploy.recipe dist/*.tar.gz > dist/meta.yaml

echo "Installation into an empty environment"
empty=$(mktemp -d)
trap 'rm -rf "$empty" "$log"' EXIT
python -m venv "$empty"
"$empty/bin/pip" install --quiet --require-hashes --requirement "$tool/requirements.lock"
"$empty/bin/pip" install --quiet --no-deps dist/*.whl
"$empty/bin/pip" check
version=$(cd "$empty" && bin/stage-in --version)
# The name of the wheel has to contain the version that the command prints.
ls "dist/stage_in-${version##* }-"*.whl

echo "CWL files with $reference"
for file in stage-in.cwl stage-in.app.cwl; do
  python deploy/release.py "$file" "$reference" > "dist/$file"
done
for file in stage-in.cwl workflows/*.cwl deploy/*/*.cwl dist/*.cwl; do
  # Two files import a type from the Web. tests/test_cwl_suite.py checks them with a local copy.
  ! grep -q 'import: https:' "$file" || continue
  cwltool --quiet --enable-ext --validate --strict "$file" > "$log" 2>&1 || { cat "$log"; exit 1; }
done
ls -l dist
