# make run: a living world in the terminal.   make test: all tests.   make install: .venv/bin/umwelt.
# Needs Python 3.11 or newer; everything else goes into .venv.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check

.PHONY: install run test test-cluster test-mesa bench gallery lint clean

install: $(VENV)/.installed

run: install
	@$(VENV)/bin/umwelt launch $(firstword $(wildcard worlds/meadow.toml worlds/pond.toml worlds/golden.toml))

test: $(VENV)/.installed-dev $(VENV)/.display
	@$(PY) -m pytest

# what takes too long for every day: every number of nodes, real networks, Ray
test-cluster: $(VENV)/.installed-dev
	@$(PIP) -e '.[dev,ray,viewer]' </dev/null
	@UMWELT_LONG=1 $(PY) -m pytest tests/cluster tests/test_storm.py

test-mesa: $(VENV)/.installed-dev
	@$(PY) tests/mesa_suite.py

bench: $(VENV)/.installed-dev
	@$(PY) -m benchmarks

gallery: $(VENV)/.installed-dev
	@$(PY) -m benchmarks.gallery

# mypy and import-linter read folders, not the mapping in pyproject.toml: they get the rooms as links
LINKS := build/links/umwelt
lint: $(VENV)/.installed-dev
	@mkdir -p $(LINKS)
	@for room in agents client cluster sandbox worlds umwelt/__init__.py umwelt/py.typed; do ln -sfn "$(CURDIR)/$$room" $(LINKS)/$$(basename $$room); done
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check -q .
	@MYPYPATH=build/links $(VENV)/bin/mypy --namespace-packages --explicit-package-bases -p umwelt
	@PYTHONPATH=build/links $(VENV)/bin/lint-imports

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
