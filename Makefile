# Each target has one line of help: `make` alone lists them.
PYTHON ?= python3
ENGINE ?= podman
REVISION = $(shell git describe --always --dirty)
TOOL := command-line-tools/stage-in
CLASSIFY := command-line-tools/classify
VENV := .venv
BIN := $(VENV)/bin
# The pages of the site, and the files that they link to.
PAGES := README.md CONTRIBUTING.md CHANGELOG.md SECURITY.md $(wildcard docs/*.md deploy/*/README.md)
LINKED := LICENSE CITATION.cff codemeta.json stage-in.cwl $(wildcard docs/*.svg docs/*.png \
  docs/*.ipynb benchmarks/*.json workflows/*.cwl)
# The header of the site shows the version, and a link to the repository if its URL is set.
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' $(TOOL)/pyproject.toml)
REPOSITORY ?=
# The version that the theme is made for; `npm view mermaid@VERSION dist.integrity` in hexadecimal.
MERMAID_VERSION := 12.3.0
MERMAID_SHA512 := e35d774dd5de2c0b0caee27bf4ea452f93bcf8b4c55e142a676eb4ac5ded8149a2340b519b852e99ed3823eeb93d137ac99ebd2787fcad56165bccd193ae5463
MERMAID := $(VENV)/docs/mermaid.min.js
# The demonstrations and `make live` have a small environment, unless that of the tests is there.
DEMO := $(VENV)$(if $(wildcard $(VENV)/ready),,/demo)
PACKAGE := stage-in.app.cwl
# The version of Python in the Debian release that the image is based on.
IMAGE_PYTHON := 3.13
IMAGE := $(shell sed -n 's/.*dockerPull: *//p' stage-in.cwl)
CALRISSIAN_IMAGE := $(shell sed -n 's/.*image: *//p' deploy/calrissian/job.yaml)

# uv resolves and installs. It takes its Python from PYTHON and downloads none.
UV := UV_PYTHON_DOWNLOADS=never $(BIN)/uv
LOCK = $(UV) pip compile --quiet --universal --upgrade --generate-hashes --no-annotate \
  --python-version 3.11 --custom-compile-command "make lock"
# The oldest versions that the pyproject.toml files allow, for the oldest Python. What those need in
# turn stays as it is in tests/lowest.lock.
OLDEST := $(UV) pip compile --quiet --resolution lowest-direct --no-annotate \
  --custom-compile-command "make lock"
LOWEST := $(OLDEST) --python-version 3.11 --group test \
  $(TOOL)/pyproject.toml $(CLASSIFY)/pyproject.toml -o
# For the newest Python, the oldest versions of what the tool needs that have wheels for it.
LOWEST_WHEELS := $(OLDEST) --python-version 3.13 --no-build $(TOOL)/pyproject.toml -o
# The tests of the tool alone, which run in other environments, too.
TOOL_TESTS := tests/safe tests/sources tests/stac tests/transfer \
  tests/test_cli.py tests/test_output.py tests/test_progress.py

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-classification test test-slow test-lowest test-image test-runners test-slurm
.PHONY: test-readers test-wheel test-kubernetes
.PHONY: fuzz mutants docs docs-generated docs-check recording picture notebook bench live soak
.PHONY: package image image-calrissian registry sbom release-check lint format lock clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 21

demo: $(DEMO)/ready ## Stage a product from the sandbox with cwltool
	@PATH="$(CURDIR)/$(DEMO)/bin:$$PATH" sandbox/demo.sh

demo-classification: $(DEMO)/ready ## Stage a product from the sandbox and classify its tiles
	@PATH="$(CURDIR)/$(DEMO)/bin:$$PATH" workflows/demo.sh

test: $(VENV)/ready ## Run the fast tests
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 4 -m "not slow"

test-slow: $(VENV)/ready $(VENV)/package/ready $(VENV)/notebook/ready $(VENV)/openeo/ready $(VENV)/toil/ready ## Run the slow tests
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 3 -m slow

test-lowest: $(VENV)/lowest/ready ## Run the fast tests of the tool with the lowest versions; needs Python 3.11
	@mkdir -p build && cp tests/lowest.lock build/ && $(LOWEST) build/lowest.lock
	@diff tests/lowest.lock build/lowest.lock
	@$(VENV)/lowest/bin/python -m pytest -n 4 -m "not slow" \
	  tests/safe tests/stac tests/transfer tests/test_api.py tests/test_cli.py

fuzz: $(VENV)/ready ## Run the fuzz tests with random input, for ten minutes
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 tests/test_fuzz.py --hypothesis-profile=fuzz --timeout=3600

mutants: $(VENV)/ready ## Check that the fast tests notice each sabotage in tests/mutants/sabotages.toml
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.mutants

test-image: $(VENV)/ready ## Run the fast tests of the tool in the image that `make image` built
	@rm -rf build/test && mkdir -p build
	@$(UV) pip compile --quiet --python-version $(IMAGE_PYTHON) --group test -c tests/requirements.lock \
	  --no-emit-package stage-in --generate-hashes -o build/test.lock
	@$(UV) pip install --quiet --python-version $(IMAGE_PYTHON) --target build/test -r build/test.lock
	@# A .pth file puts the folder behind the image's own packages.
	@echo /test > build/test.pth
	@$(ENGINE) run --rm --volume "$(CURDIR):/src:ro" --volume "$(CURDIR)/build/test:/test:ro" \
	  --volume "$(CURDIR)/build/test.pth:/opt/stage-in/lib/python$(IMAGE_PYTHON)/site-packages/test.pth:ro" \
	  --env HOME=/tmp --workdir /src $(IMAGE) \
	  python3 -m pytest -n 4 -m "not slow" -p no:cacheprovider $(TOOL_TESTS)

test-runners: $(VENV)/ready $(VENV)/package/ready $(VENV)/toil/ready ## Run the tests in containers of the image that `make image` built
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 -m runner --engine $(ENGINE)

test-readers: $(VENV)/ready $(VENV)/readers/ready ## Run the tests of the libraries that read a staged product
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 -m reader --readers

test-slurm: $(VENV)/ready $(VENV)/toil/ready ## Run the tests on Slurm
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m slurm --slurm

test-wheel: $(VENV)/ready $(VENV)/release/ready ## Stage a product with the wheel in clean containers, with the newest and the lowest versions
	@mkdir -p build && cp tests/lowest-3.13.lock build/ && $(LOWEST_WHEELS) build/lowest-3.13.lock
	@diff tests/lowest-3.13.lock build/lowest-3.13.lock
	@rm -rf build/wheel && $(VENV)/release/bin/python -m build --no-isolation --outdir build/wheel $(TOOL) \
	  > build/wheel.log 2>&1 || { cat build/wheel.log; exit 1; }
	@PATH="$(CURDIR)/$(BIN):$$PATH" BUILD_OPTIONS="$(BUILD_OPTIONS)" $(BIN)/python -m pytest -n 2 -m wheel \
	  --engine $(ENGINE) --wheel build/wheel tests/runners/test_wheel.py

test-kubernetes: $(VENV)/ready ## Run the tests on the cluster that KUBECONFIG names; CONTRIBUTING.md says what they need
	@: "$${KUBECONFIG:?names no cluster}" "$${HOST_ADDRESS:?names no address that pods can reach}"
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m kubernetes --kubernetes tests/kubernetes

package: $(PACKAGE) ## Write the Application Package, stage-in.app.cwl

image: ## Build the image that stage-in.cwl names
	$(ENGINE) build $(BUILD_OPTIONS) --build-arg VERSION=$(lastword $(subst :, ,$(IMAGE))) \
	  --build-arg REVISION=$(REVISION) --tag $(IMAGE) .

image-calrissian: ## Build the image that deploy/calrissian/job.yaml names, for clusters without a registry
	$(ENGINE) build $(BUILD_OPTIONS) --file tests/kubernetes/Dockerfile --tag $(CALRISSIAN_IMAGE) tests/kubernetes

registry: ## Set the name of the image in all files of a clone; needs REGISTRY=HOST/OWNER
	@echo '$(REGISTRY)' | grep -Eqx '[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*' || \
	  { echo "expected HOST or HOST/OWNER in lower case as REGISTRY, found '$(REGISTRY)'" >&2; exit 2; }
	@files=$$(git grep -l --fixed-strings '$(IMAGE)') && \
	  sed -i 's#$(IMAGE)#$(REGISTRY)/$(notdir $(IMAGE))#g' $$files

sbom: $(VENV)/ready ## Write a CycloneDX bill of materials of the image, stage-in.cdx.json
	@PATH="$(CURDIR)/$(BIN):$$PATH" deploy/sbom.sh $(ENGINE) $(IMAGE) stage-in.cdx.json

release-check: $(VENV)/release/ready package ## Build and check the files of a release in dist/; TAG=v0.2.0 for a release
	@PATH="$(CURDIR)/$(VENV)/release/bin:$$PATH" REFERENCE="$(REFERENCE)" deploy/check.sh $(TAG)

bench: $(VENV)/ready ## Compare the tool with other ways to download, a quarter of an hour; updates the pages
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks

live: $(DEMO)/ready ## Test the real platform with your account, five minutes; prints a report for an issue
	@$(DEMO)/bin/python -m benchmarks.live $(ITEM)

soak: $(VENV)/ready ## Stage 400 products while faults occur, a quarter of an hour; updates the pages
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks.soak

docs: $(VENV)/docs/ready $(MERMAID) ## Build the documentation as a site: build/site/index.html
	@rm -rf build/docs build/overrides build/site && mkdir -p build/docs/assets
	@tar -cf - $(PAGES) $(LINKED) | tar -xf - -C build/docs
	@cp website/extra.css $(MERMAID) build/docs/assets
	@$(VENV)/docs/bin/python website/notebook.py docs/explore.ipynb build/docs/docs/explore.md
	@cp -R website/overrides build
	@sed -e 's/@VERSION@/$(VERSION)/' -e '$(if $(REPOSITORY),s|@REPOSITORY@|$(REPOSITORY)|,/^repo_/d)' \
	  website/zensical.toml > build/zensical.toml
	@$(VENV)/docs/bin/zensical build --strict --clean --config-file build/zensical.toml

docs-generated: $(VENV)/ready ## Update the generated parts of the pages
	@$(BIN)/cog -r -P -I . -p "from website import show" --verbosity 1 $(PAGES)

docs-check: docs ## Check each page of the site in Chromium; writes screenshots to build/screens
	@$(VENV)/docs/bin/python website/check.py build/site build/screens

recording: $(VENV)/ready ## Record the output of `make demo`; writes docs/demo.svg
	@env -u MAKEFLAGS -u MAKELEVEL $(BIN)/python website/terminal.py docs/demo.svg make demo

picture: demo-classification ## Draw a land cover map; writes docs/classification.png
	@cp demo/classification/classification.png docs/classification.png

notebook: demo $(VENV)/notebook/ready ## Run docs/explore.ipynb on the product that `make demo` staged
	@$(VENV)/notebook/bin/python docs/notebook.py docs/explore.ipynb docs/explore.ipynb

lint: $(VENV)/ready ## Check style, types, declared dependencies, imports and derived files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd $(TOOL) && $(CURDIR)/$(BIN)/deptry src
	cd $(CLASSIFY) && $(CURDIR)/$(BIN)/deptry .
	$(BIN)/python tests/environment.py | diff environment.yml -

format: $(VENV)/ready ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/ready ## Resolve all versions again, into the lock files and environment.yml
	$(LOCK) $(TOOL)/pyproject.toml -o $(TOOL)/requirements.lock
	$(LOCK) --group dev -c $(TOOL)/requirements.lock $(TOOL)/pyproject.toml -o tests/requirements.lock
	$(LOCK) --group calrissian -o tests/kubernetes/calrissian.lock
	$(LOCK) --group demo -c tests/requirements.lock $(TOOL)/pyproject.toml $(CLASSIFY)/pyproject.toml \
	  -o sandbox/requirements.lock
	$(LOCK) --group toil -o tests/runners/toil.lock
	$(LOCK) --group readers -o tests/readers/requirements.lock
	$(LOCK) --group docs -o docs/requirements.lock
	$(LOCK) --group package -o tests/package.lock
	$(LOCK) --group openeo -o tests/openeo.lock
	$(LOCK) --group notebook -o docs/notebook.lock
	$(LOCK) --group release -o deploy/release.lock
	$(LOWEST) tests/lowest.lock --upgrade
	$(LOWEST_WHEELS) tests/lowest-3.13.lock --upgrade
	$(BIN)/python tests/environment.py > environment.yml

clean: ## Remove the files that the other targets write
	rm -rf $(VENV) demo build dist stage-in.cdx.json $(PACKAGE)

# The environments: each is installed from its lock file, by uv, which pip installs first.
NEEDS_PYTHON := $(PYTHON) -c \
  'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'

$(BIN)/uv: tests/requirements.lock
	@$(NEEDS_PYTHON)
	@$(PYTHON) -m venv $(VENV)
	@awk '/^[^ ]/ {shown = /^uv==/} shown' $< > $(VENV)/uv.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@touch $@

$(VENV)/ready: tests/requirements.lock $(TOOL)/pyproject.toml $(CLASSIFY)/pyproject.toml | $(BIN)/uv
	@echo "Installing into $(VENV) (once)" >&2
	@$(UV) pip install --quiet --python $(VENV) --require-hashes -r tests/requirements.lock
	@$(UV) pip install --quiet --python $(VENV) --no-deps --editable $(TOOL) --editable $(CLASSIFY)
	@touch $@

# uv is larger than what it would save here.
$(VENV)/demo/ready: sandbox/requirements.lock $(TOOL)/pyproject.toml $(CLASSIFY)/pyproject.toml
	@$(NEEDS_PYTHON)
	@echo "Installing what the demonstrations need into $(@D) (once)" >&2
	@$(PYTHON) -m venv --clear $(@D)
	@sandbox/install.sh $(@D) $<
	@$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps \
	  --editable $(TOOL) --editable $(CLASSIFY)
	@touch $@

# An environment of its own for packages whose pins conflict, or that few need.
define install
@echo "Installing $(1) into $(@D) (once)" >&2
@$(UV) venv --quiet --clear --python $(BIN)/python $(@D)
@$(UV) pip install --quiet --python $(@D) --require-hashes -r $<
@touch $@
endef

$(VENV)/docs/ready: docs/requirements.lock | $(VENV)/ready
	$(call install,the documentation tools)

$(VENV)/toil/ready: tests/runners/toil.lock | $(VENV)/ready
	$(call install,Toil)

$(VENV)/readers/ready: tests/readers/requirements.lock | $(VENV)/ready
	$(call install,the libraries that read a product)

$(VENV)/package/ready: tests/package.lock | $(VENV)/ready
	$(call install,the packaging tools)

$(VENV)/openeo/ready: tests/openeo.lock | $(VENV)/ready
	$(call install,the client of openEO)

$(VENV)/notebook/ready: docs/notebook.lock | $(VENV)/ready
	$(call install,what runs the notebook)

$(VENV)/release/ready: deploy/release.lock | $(VENV)/ready
	$(call install,the release tools)

$(VENV)/lowest/ready: tests/lowest.lock | $(VENV)/ready
	@echo "Installing the lowest versions into $(@D) (once)" >&2
	@$(UV) venv --quiet --clear --python 3.11 $(@D)
	@$(UV) pip install --quiet --python $(@D) -r $<
	@$(UV) pip install --quiet --python $(@D) --no-deps --editable $(TOOL) --editable $(CLASSIFY)
	@touch $@

# The site contains mermaid, so its readers fetch nothing from other hosts.
$(MERMAID): | $(VENV)/docs/ready
	@echo "Fetching mermaid, which draws the diagrams (once)" >&2
	@cd $(@D) && npm pack --silent --ignore-scripts mermaid@$(MERMAID_VERSION) > npm.log
	@cd $(@D) && echo "$(MERMAID_SHA512)  mermaid-$(MERMAID_VERSION).tgz" | sha512sum --check --quiet
	@tar -xzOf $(@D)/mermaid-$(MERMAID_VERSION).tgz package/dist/mermaid.min.js > $@

# `cwltool --pack` would name the workflow `main` and drop its version.
$(PACKAGE): workflows/stage-in-app.cwl stage-in.cwl $(VENV)/package/ready
	@$(VENV)/package/bin/transpiler-mate bundle $< --output $@
