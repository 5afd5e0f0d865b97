# Each target has one line of help: `make` alone lists them.
PYTHON ?= python3
ENGINE ?= podman
REVISION = $(shell git describe --always --dirty)
TOOL := command-line-tools/stage-in
CLASSIFY := command-line-tools/classify
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
LOCK := $(UV) pip compile --quiet --universal --upgrade --generate-hashes --python-version 3.11 \
  --custom-compile-command "make lock"
PACKAGE := stage-in.app.cwl
IMAGE := $(shell sed -n 's/.*dockerPull: *//p' stage-in.cwl)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-classification test test-slow fuzz test-runners test-slurm
.PHONY: docs docs-generated docs-check recording notebook bench soak
.PHONY: package image sbom release-check lint lock clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/ready ## Stage a product from a platform on this machine, through cwltool
	@PATH="$(CURDIR)/$(BIN):$$PATH" sandbox/demo.sh

demo-classification: $(VENV)/ready ## Stage a product and classify its tiles, through cwltool; draws docs/classification.png
	@PATH="$(CURDIR)/$(BIN):$$PATH" workflows/demo.sh

test: $(VENV)/ready ## Run the fast tests
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 4 -m "not slow"

test-slow: $(VENV)/ready $(VENV)/package/ready $(VENV)/notebook/ready ## Run the tests that take longer
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 3 -m slow

fuzz: $(VENV)/ready ## Give the parsers of what others wrote other input than the tests do, ten minutes
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 tests/test_fuzz.py --hypothesis-profile=fuzz

test-runners: $(VENV)/ready $(VENV)/calrissian/ready $(VENV)/package/ready $(VENV)/toil/ready ## Run the tests in containers, of the image that `make image` built
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 -m runner --engine $(ENGINE)

test-slurm: $(VENV)/ready $(VENV)/toil/ready ## Run the tests on Slurm
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m slurm --slurm

package: $(PACKAGE) ## Write the Application Package, one file: stage-in.app.cwl

image: ## Build the image that stage-in.cwl names
	$(ENGINE) build $(BUILD_OPTIONS) --build-arg VERSION=$(lastword $(subst :, ,$(IMAGE))) \
	  --build-arg REVISION=$(REVISION) --tag $(IMAGE) .

sbom: $(VENV)/ready ## Write what the image holds as CycloneDX: stage-in.cdx.json
	@PATH="$(CURDIR)/$(BIN):$$PATH" deploy/sbom.sh $(ENGINE) $(IMAGE) stage-in.cdx.json

release-check: $(VENV)/release/ready package ## Do all of a release that needs no registry, into dist/; TAG=v0.1.0 for a release
	@PATH="$(CURDIR)/$(VENV)/release/bin:$$PATH" REFERENCE="$(REFERENCE)" deploy/check.sh $(TAG)

bench: $(VENV)/ready ## Compare with what users do today, 20 minutes; updates docs/benchmarks.md
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks

soak: $(VENV)/ready ## Stage 400 products while faults happen, a quarter of an hour; updates docs/reliability.md
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks.soak

docs: $(VENV)/ready $(VENV)/docs/ready $(VENV)/docs/mermaid.min.js ## Build the documentation as a site: build/site/index.html
	@$(BIN)/python -m website build
	@cp $(VENV)/docs/mermaid.min.js build/docs/assets/
	@$(VENV)/docs/bin/zensical build --strict --clean --config-file build/zensical.toml

docs-generated: $(VENV)/ready ## Write anew what pages show of the code and of a staged item
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m website.generated

docs-check: docs ## Look at each page of the site in Chromium; leaves build/screens
	@$(VENV)/docs/bin/python -m website.browser build/site build/screens

recording: $(VENV)/ready ## Record `make demo`; writes docs/demo.svg
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python docs/recording.py docs/demo.svg make demo

notebook: demo $(VENV)/notebook/ready ## Run docs/explore.ipynb on what `make demo` has staged
	@$(VENV)/notebook/bin/python docs/notebook.py docs/explore.ipynb docs/explore.ipynb

lint: $(VENV)/ready ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: $(VENV)/ready ## Resolve the versions anew, into all locks and environment.yml
	$(BIN)/pip install --quiet uv
	$(LOCK) $(TOOL)/pyproject.toml -o $(TOOL)/requirements.lock
	$(LOCK) --group dev -c $(TOOL)/requirements.lock \
	  $(TOOL)/pyproject.toml -o tests/requirements.lock
	$(LOCK) --group calrissian -o tests/runners/calrissian.lock
	$(LOCK) --group toil -o tests/runners/toil.lock
	$(LOCK) --group docs -o docs/requirements.lock
	$(LOCK) --group package -o tests/package.lock
	$(LOCK) --group notebook -o docs/notebook.lock
	$(LOCK) --group release -o deploy/release.lock
	$(BIN)/python tests/environment.py > environment.yml

clean: ## Remove what the other targets have made
	rm -rf $(VENV) demo build dist stage-in.cdx.json $(PACKAGE)

$(VENV)/ready: tests/requirements.lock $(TOOL)/pyproject.toml $(CLASSIFY)/pyproject.toml
	@echo "Installing into $(VENV) (once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r tests/requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable $(TOOL) --editable $(CLASSIFY)
	@touch $@

# An environment of its own for what pins what others pin too: $(call install,WHAT[,VARIABLE=VALUE]).
define install
@echo "Installing $(1) into $(@D) (once)"
@$(BIN)/python -m venv $(@D)
@$(2) $(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
@touch $@
endef

$(VENV)/docs/ready: docs/requirements.lock | $(VENV)/ready
	$(call install,what builds the documentation)

$(VENV)/docs/mermaid.min.js: website/mermaid.py | $(VENV)/docs/ready
	@echo "Fetching what draws the diagrams (once)"
	@$(BIN)/python -m website.mermaid $@

$(VENV)/calrissian/ready: tests/runners/calrissian.lock | $(VENV)/ready
	@# The msgpack that it pins has no wheel for Python 3.13, and its C doesn't compile there.
	$(call install,Calrissian,MSGPACK_PUREPYTHON=1)

$(VENV)/toil/ready: tests/runners/toil.lock | $(VENV)/ready
	$(call install,Toil)

$(VENV)/package/ready: tests/package.lock | $(VENV)/ready
	$(call install,what makes and checks packages)

$(VENV)/notebook/ready: docs/notebook.lock | $(VENV)/ready
	$(call install,what opens the notebook)

$(VENV)/release/ready: deploy/release.lock | $(VENV)/ready
	$(call install,what checks a release)

# Not by `cwltool --pack`, which calls the workflow `main` and drops its version.
$(PACKAGE): workflows/stage-in-app.cwl stage-in.cwl $(VENV)/package/ready
	@$(VENV)/package/bin/transpiler-mate bundle $< --output $@
