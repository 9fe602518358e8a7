# Each target is complete in itself: it needs Python 3.11 or newer, git, make, and a package index to install from.

ENVS := .venv-tox
TOX := $(ENVS)/bin/tox

# A shim of pyenv answers only for selected versions: where pyenv is in use, put every CPython it holds at the
# end of PATH, where tox finds it and nothing else changes.
PYENV_BINS := $(shell pyenv versions --bare 2>/dev/null | grep -E '^3\.(1[1-9]|[2-9][0-9])\.[0-9]+$$' | \
    sed "s|.*|:$$(pyenv root 2>/dev/null)/versions/&/bin|" | tr -d '\n')
export PATH := $(PATH)$(PYENV_BINS)

.PHONY: smoke test upstreams conformance clean

smoke: $(TOX)  ## both tiers against the reference app
	$(TOX) run -e smoke,nd_real

test: $(TOX)  ## everything, three environments at a time; on the Python that runs tox, or on 3.11 to 3.13
	suite=py311,py312,py313,py$$($(ENVS)/bin/python -c 'import sys; print("%d%d" % sys.version_info[:2])'); \
	if { command -v python3.11 && command -v python3.12 && command -v python3.13; } >/dev/null; then \
	    suite=py312-share,py313-share,py311-share; \
	fi; \
	$(TOX) run-parallel --parallel 3 --parallel-no-spinner \
	    -e lint,types,$$suite,lowest,composition,nocompile,smoke,nd_real,xdist,wild,fuzz

upstreams: $(TOX)  ## the gateway before real servers; installs PostgreSQL (Debian's, as root), Node's and others' packages
	$(TOX) run -e upstreams

conformance: $(TOX)  ## the protocol's own suite, against the upstream double and through the gateway; needs npm
	$(TOX) run -e conformance

$(TOX):
	@for python in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	    if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        $$python -m venv $(ENVS) && $(ENVS)/bin/python -m pip install --quiet 'tox>=4.46'; \
	        exit; \
	    fi; \
	done; \
	echo 'make: no Python >= 3.11 with venv and ensurepip found on PATH; install one and try again' >&2; exit 1

clean:
	rm -rf $(ENVS) .tox build dist *.egg-info .coverage .coverage.* htmlcov
	rm -rf .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f pytest_mcpsmoke/state/*.so
