# make run: a living world in the terminal.   make test: checks and tests.   make install: .venv/bin/umwelt.
# Needs Python 3.11 or newer; everything else goes into .venv.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
# three processes keep two cores busy, since many tests wait for other processes
PYTEST_OPTIONS ?= --numprocesses 3 --dist loadfile
# the tests write some hundred thousand small files: into memory, where there is room for them
MEMORY := /dev/shm
ifeq ($(shell [ "$$(df -k --output=avail $(MEMORY) 2>/dev/null | tail -n 1)" -gt 4000000 ] 2>/dev/null && echo yes),yes)
export PYTEST_DEBUG_TEMPROOT ?= $(MEMORY)
endif
PIP := $(PY) -m pip install --quiet --disable-pip-version-check

.PHONY: install run test test-only kernels test-long test-mesa bench gallery lint docs map clean

install: $(VENV)/.installed

run: install
	@$(VENV)/bin/umwelt launch $(firstword $(wildcard worlds/meadow.toml worlds/pond.toml worlds/golden.toml))

# the gate: linter, format, types, import contracts and the documentation, while the kernels are compiled; then all tests
test: $(VENV)/.installed-dev build/.links
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint docs kernels
	@$(MAKE) --no-print-directory test-only

test-only: $(VENV)/.installed-dev $(VENV)/.display
	@$(PY) -m pytest $(PYTEST_OPTIONS)

kernels: $(VENV)/.installed-dev
	@$(PY) tests/compile_kernels.py meadow particles wolf_sheep flocking market

# what takes too long for every day: every number of nodes, real networks, Ray
test-long: $(VENV)/.installed-dev $(VENV)/.display
	@$(PIP) -e '.[dev,ray,viewer]' </dev/null
	@UMWELT_LONG=1 $(PY) -m pytest tests/cluster tests/test_storm.py tests/test_pages.py

test-mesa: $(VENV)/.installed-dev
	@$(PY) tests/mesa_suite.py

bench: $(VENV)/.installed-dev
	@$(PY) -m benchmarks

gallery: $(VENV)/.installed-dev
	@$(PY) -m benchmarks.gallery

# Tools that read folders do not know the mapping in pyproject.toml: they get the packages as links. mypy reads links/umwelt,
# with the top package; grimp (import-linter, the map) and the documentation read rooms/umwelt, a namespace package.
PACKAGES := agents client cluster sandbox worlds
LINKS := build/links/umwelt
ROOMS := build/rooms
build/.links: Makefile
	@mkdir -p $(LINKS) $(ROOMS)/umwelt
	@for package in $(PACKAGES); do ln -sfn "$(CURDIR)/$$package" $(LINKS)/$$package; \
	  ln -sfn "$(CURDIR)/$$package" $(ROOMS)/umwelt/$$package; done
	@for file in __init__.py py.typed; do ln -sfn "$(CURDIR)/umwelt/$$file" $(LINKS)/$$file; done
	@touch $@

lint: $(VENV)/.installed-dev build/.links
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check --quiet .
	@MYPYPATH=build/links $(VENV)/bin/mypy --namespace-packages --explicit-package-bases -p umwelt
	@cd $(ROOMS) && PYTHONPATH=. ../../$(VENV)/bin/lint-imports ../../pyproject.toml
	@cd $(ROOMS) && PYTHONPATH=. ../../$(PY) ../../docs/module_map.py --check

# draws docs/modules.svg from the imports
map: $(VENV)/.installed-dev build/.links
	@cd $(ROOMS) && PYTHONPATH=. ../../$(PY) ../../docs/module_map.py

# the documentation as a site, in build/site; a warning is an error
docs: $(VENV)/.installed-dev build/.links
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# A venv needs the package python3-venv where Debian splits Python up; root gets it, others are told.
$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'umwelt: Python 3.11 or newer is needed: make PYTHON=python3.12 (or another) $(MAKECMDGOALS)' >&2; exit 2; }
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo 'installing python3-venv ...'; \
	    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	      python3-venv) </dev/null >/dev/null || exit 2; \
	  else echo 'umwelt: Python has no venv here: as root, apt-get install python3-venv' >&2; exit 2; fi; fi
	@echo 'making $(VENV) ...'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 2; }

$(VENV)/.installed: pyproject.toml | $(PY)
	@echo 'installing what Umwelt needs ...'
	@$(PIP) -e '.[viewer]' </dev/null || { \
	  echo 'umwelt: the window cannot be installed here: the terminal shows the world' >&2; $(PIP) -e . </dev/null; }
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(PY)
	@echo 'installing what Umwelt and its tests need ...'
	@$(PIP) -e '.[dev,viewer]' </dev/null
	@touch $(VENV)/.installed $@

# The window's tests open a real window: they need an X server, a mouse to move, and OpenGL's libraries. Root gets them;
# others are told, and those tests are skipped.
SCREEN := libegl1 libfontconfig1 libfreetype6 libgl1 xauth xdotool xvfb
HAS_SCREEN = command -v Xvfb >/dev/null && command -v xdotool >/dev/null && $(PY) -c 'import sys; from ctypes.util import \
  find_library as find; sys.exit(not all(map(find, ("GL", "EGL", "freetype", "fontconfig"))))'
$(VENV)/.display: | $(PY)
	@if ! { $(HAS_SCREEN); } && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo 'installing an X server for tests ...'; \
	  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    $(SCREEN)) </dev/null >/dev/null || exit 2; fi
	@if $(HAS_SCREEN); then touch $@; else \
	  echo 'umwelt: tests of the window are skipped: as root, apt-get install $(SCREEN)' >&2; \
	  [ -z "$$CI" ] || exit 2; fi
