# Two doors: `make demo` shows what lyra does, `make test` checks that it does it. Both install on first use and then start at once.
#
# Settings: VENV (folder of the environment), PYTHON (interpreter to build it with), PHOTO and OUT (of the demo),
# PYTEST_ARGS. pip's own settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS …) are passed through.

VENV ?= .venv
PHOTO ?= examples/photos/drawing_room.jpg
OUT ?= out/demo
PYTEST_ARGS ?=

bin := $(VENV)/bin
pip_install := $(bin)/python -m pip install $(if $(CI),--quiet) --disable-pip-version-check -c constraints/cpu.txt
# A marker is younger than the files below exactly when the environment was installed from them.
run_ready := $(VENV)/.ready-to-run
test_ready := $(VENV)/.ready-to-test
settings := pyproject.toml constraints/cpu.txt

.DEFAULT_GOAL := help
.PHONY: help install demo test lint clean

help:
	@echo 'make demo     one photo becomes a 3D scene, in $(OUT)'
	@echo 'make test     the whole test suite on the CPU'
	@echo 'make lint     ruff, mypy and the import contracts'
	@echo 'make install  only the environment, in $(VENV)'
	@echo 'make clean    remove what the demo and the tools wrote (the environment stays)'

install: $(run_ready)
	@echo '$(VENV) is ready.'

demo: $(run_ready)
	$(bin)/lyra generate '$(PHOTO)' -o '$(OUT)' --overwrite
	@echo
	@echo 'The demo is done. Look at:'
	@find '$(OUT)' -maxdepth 1 -type f | sort | sed 's/^/  /'
	@echo 'Another photo: make demo PHOTO=my.jpg OUT=out/mine    The command itself: $(bin)/lyra --help'

test: $(test_ready)
	$(bin)/python -m pytest $(PYTEST_ARGS)

lint: $(test_ready)
	$(bin)/ruff check .
	$(bin)/mypy
	$(bin)/lint-imports

clean:
	rm -rf out/demo dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(run_ready): $(settings) | $(bin)/python
	@echo 'Installing lyra into $(VENV) (once; several minutes on a slow line) …'
	$(pip_install) -e .
	@touch $@

$(test_ready): $(settings) | $(run_ready)
	@echo 'Installing the test tools into $(VENV) …'
	$(pip_install) -e '.[train,usd,mesh,4dgs,colmap,dev]'
	@touch $@

$(bin)/python:
	@for candidate in $(PYTHON) python3.12 python3.11 python3.13 python3 python; do \
	  if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    found=$$candidate; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo 'lyra needs Python 3.11 or newer with its venv module, and none was found.' >&2; \
	  echo 'Install one (on Debian and Ubuntu: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python3.12 …' >&2; \
	  exit 1; \
	fi; \
	echo "Building $(VENV) with $$("$$found" --version) …"; \
	"$$found" -m venv --clear '$(VENV)' || { rm -rf '$(VENV)'; exit 1; }
