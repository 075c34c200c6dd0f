# Everything goes into .venv; a second run is quick. Another Python: make test PYTHON=python3.13 in a clean clone.
PYTHON := python3
UV := .venv/bin/uv
STAMP := .venv/.synced

SERVER_VERSION := 1.11.0
SERVER := .cache/livekit-server-$(SERVER_VERSION)/livekit-server

.PHONY: setup server rtsp-server browser page demo test lowest check format bench
setup: $(STAMP)

.venv/bin/uv:
	@echo "==> creating .venv"
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check "uv>=0.9,<1"

$(STAMP): pyproject.toml uv.lock | .venv/bin/uv
	@echo "==> installing the locked Python packages"
	$(UV) sync --quiet --locked --inexact
	@touch $(STAMP)

# livekit-server: the one on PATH, else built once with Go
server:
	@command -v livekit-server >/dev/null || $(MAKE) --no-print-directory $(SERVER)

$(SERVER):
	@command -v go >/dev/null || { echo "livekit-server is not on PATH, and Go is not there to build it: install either"; exit 1; }
	@echo "==> building livekit-server $(SERVER_VERSION), once, about 2 minutes"
	@mkdir -p $(@D)
	GOBIN=$(abspath $(@D)) go install github.com/livekit/livekit-server/cmd/server@v$(SERVER_VERSION)
	@mv $(@D)/server $@

# the demo's page: built with npm, contained in the wheel, not in the repository
PAGE := vision_agent/demo/page/index.html
MODULES := web/node_modules/.package-lock.json
page: $(PAGE)

$(MODULES): web/package.json web/package-lock.json
	@command -v npm >/dev/null || { echo "npm is not there to build the demo's page: install Node.js 18 or newer"; exit 1; }
	@echo "==> installing the page's packages"
	npm ci --prefix web --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(PAGE): web/index.html web/style.css $(wildcard web/src/*.js) $(MODULES)
	@echo "==> building the demo's page"
	npm run --silent --prefix web build
	@touch $@

# ARGS="--port 8000 --model google/gemini-2.5-flash"
demo: setup server page
	@.venv/bin/vision-agent demo $(ARGS)

# GStreamer's RTSP server, for the tests of RTSP cameras; without it they are skipped
rtsp-server:
	@/usr/bin/python3 -c "from gi import require_version as v; v('Gst', '1.0'); v('GstRtspServer', '1.0')" 2>/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && echo "==> installing GStreamer's RTSP server for the tests" \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
	    python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
	    gstreamer1.0-plugins-bad >/dev/null; } \
	|| echo "==> without GStreamer's RTSP server the RTSP tests are skipped: install gir1.2-gst-rtsp-server-1.0"

# Chromium, for the test of the page in a real browser; without it that test is skipped
browser:
	@command -v chromium >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && echo "==> installing Chromium for the test of the page" \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
	    chromium >/dev/null; } \
	|| echo "==> without Chromium the page's test is skipped: install chromium"

test: setup server rtsp-server browser page
	.venv/bin/python -m pytest -m "not alone" --numprocesses 2 --dist loadfile
	.venv/bin/python -m pytest -m alone

# The lowest versions pyproject.toml allows, on the oldest Python that is here: the tests of what is made with each of
# them, as far as these need no server
LOWEST := .venv-lowest
LOWEST_TESTS := $(patsubst %,tests/test_%.py,annotate asking binder budget cameras choice config decoding doctor \
	fair_queue fit_frame gemini hooks image initial ledger lens lines listening offline \
	picture sources terminal web_sources)
PYTHONS := python3.10 $(HOME)/.pyenv/versions/3.10.*/bin/python python3.11 python3.12 python3.13 $(PYTHON)
lowest: $(LOWEST)/.synced
	$(LOWEST)/bin/python -m pytest -m "not server" $(LOWEST_TESTS)

$(LOWEST)/.synced: pyproject.toml | .venv/bin/uv
	@oldest=$$(for each in $(PYTHONS); do $$each -c pass 2>/dev/null && echo $$each && break; done) \
	&& echo "==> installing the lowest versions for $$($$oldest --version) in $(LOWEST)" \
	&& $(UV) venv --quiet --clear --python $$oldest $(LOWEST) \
	&& $(UV) pip install --quiet --python $(LOWEST) --resolution lowest-direct --editable . --group dev
	@touch $@

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# BENCH="--quick" for a minute, BENCH="--peers" beside the peers
bench: setup server
	.venv/bin/vision-agent bench $(BENCH)
