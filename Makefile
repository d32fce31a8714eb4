# `make run` and `make test` do all the set-up themselves, in .venv and, for Chromium and Redis, with apt where they may.

.PHONY: run test bench bench-growth install install-test lint types imports pytest clean

run: install
	@.venv/bin/tallycast serve

test: install-test lint types imports pytest

install:
	@.ci/venv

install-test:
	@.ci/venv test
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || .ci/apt chromium
	@command -v chromium-headless-shell >/dev/null || .ci/apt chromium-headless-shell \
		|| echo "the browser tests take the whole Chromium, and twice the time" >&2
	@command -v redis-server >/dev/null || .ci/apt redis-server
	@command -v gcc >/dev/null || .ci/apt gcc libc6-dev
	@.ci/later-redis
	@.ci/promtool
	@PYTHONPATH=tests .venv/bin/python -m packing

# The benchmarks (docs/benchmarks.md), alone on the machine; BENCH has their options, such as BENCH=--quick.
bench: install-test
	@.ci/venv bench
	@for peer in socketio socketify; do \
		.ci/venv bench-$$peer || echo "$$peer does not install here; the table names it" >&2; \
	done
	@PYTHONPATH=tests .venv/bin/python -m bench $(BENCH)

bench-growth: install-test
	@.ci/venv bench
	@PYTHONPATH=tests .venv/bin/python -m bench.growth $(BENCH)

lint:
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check

types:
	@.venv/bin/mypy

imports:
	@.venv/bin/lint-imports

pytest:
	@.venv/bin/pytest --numprocesses 3 --dist loadfile

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
