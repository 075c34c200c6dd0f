# Everything goes into .venv; a second run is quick.
UV := .venv/bin/uv
STAMP := .venv/.synced

.PHONY: setup test check format
setup: $(STAMP)

.venv/bin/uv:
	@echo "==> creating .venv"
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check "uv>=0.9,<1"

$(STAMP): pyproject.toml uv.lock | .venv/bin/uv
	@echo "==> installing the locked Python packages"
	$(UV) sync --quiet --locked --inexact
	@touch $(STAMP)

test: setup
	.venv/bin/python -m pytest

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
