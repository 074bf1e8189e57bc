# ipmasq. `make help` lists what there is to do.
.DEFAULT_GOAL := help
.PHONY: help demo test test-packages check bench fuzz soak hostile wheel deb image lint format docs site lock setup packaging venv root \
	clean distclean
MAKEFLAGS += --no-print-directory
unexport PYTHONDONTWRITEBYTECODE # tests start hundreds of processes, and each would compile all modules anew
PLANE ?= tun
PYTHON := .venv/bin/python

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: root setup ## real FTP through the gateway, every case, as a table (root; PLANE=tun, ebpf-tc, ebpf-xdp)
	$(PYTHON) -m demo --plane $(PLANE)

test: root setup ## every test, live ones included (root)
	@tools/test

test-packages: root setup packaging ## what make wheel, deb and image build, installed and run in a clean Debian 12 (root)
	$(PYTHON) -m pytest -o faulthandler_timeout=300 -m packages tests/packages

check: venv lint ## the quick loop: format, lint, types, floors, all tests but the live ones (no root)
	@$(PYTHON) -m pytest -n auto -m "not live"

bench: root setup ## measure; prints tables, writes docs/performance.md and build/bench.json (root)
	@mkdir -p build
	$(PYTHON) -m tests.bench --write-docs

fuzz: venv ## try the engine, the helpers, captures, control and configuration with a fuzzer (MINUTES=10 in all)
	@tools/fuzz --minutes $(or $(MINUTES),10)

soak: root setup ## a long mixed load through injected faults, and a verdict (root; MINUTES=20, PLANE=tun, ebpf-tc, ebpf-xdp)
	$(PYTHON) -m tests.soak --minutes $(or $(MINUTES),20) --plane $(PLANE)

hostile: root setup ## attacks with raw packets on a running gateway, a verdict each (root; PLANE=tun, ..., all)
	$(PYTHON) -m tests.hostile --plane $(PLANE)

wheel: venv ## one wheel that needs no compiler, in build/dist
	@tools/wheel

deb: packaging wheel ## a Debian package, in build/deb
	@$(PYTHON) tools/deb.py

image: root deb ## a small OCI image, in build/image; no daemon is needed (root)
	@tools/image

lint: venv ## format, lint, types, floors, and whether the generated docs are current
	.venv/bin/ruff format --check --quiet .
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy --no-error-summary
	@echo .venv/bin/lint-imports; out=$$(.venv/bin/lint-imports --no-logo 2>&1) || { echo "$$out"; exit 1; }
	$(PYTHON) tools/conformance.py --check

format: venv ## let ruff put the code in shape
	.venv/bin/ruff check --fix --quiet .
	.venv/bin/ruff format --quiet .

docs: venv ## write docs/conformance.md anew from the tests
	$(PYTHON) tools/conformance.py

site: venv ## the documentation site, in build/site; a warning is an error
	$(PYTHON) -m sphinx --quiet --fail-on-warning --keep-going -c docs -d build/site.cache . build/site

lock: ## renew requirements-dev.lock from pyproject.toml
	@tools/lock

setup: ## Debian packages (those that are missing) and the virtual environment
	@tools/debian
	@tools/venv
	@$(PYTHON) tools/build_bpf.py >/dev/null

packaging: ## the Debian packages that building and testing packages needs (those that are missing)
	@tools/debian tools/debian-packages-build

venv: ## the virtual environment alone (no root), and the fast path if bpf/ has changed
	@tools/venv
	@$(PYTHON) tools/build_bpf.py >/dev/null

root:
	@[ "$$(id -u)" = 0 ] || { echo "This makes network namespaces and needs root." >&2; exit 1; }

clean: ## remove what was built, not the virtual environment
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests tools demo -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## remove the virtual environment too
	rm -rf .venv
