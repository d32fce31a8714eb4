# `make run` and `make test` do all the set-up themselves, in .venv and, for Chromium and Redis, with apt where they may.

.PHONY: run test install install-test lint types imports pytest clean

run: install
	@.venv/bin/tallycast serve

test: install-test lint types imports pytest

install:
	@.ci/venv

install-test:
	@.ci/venv test
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || .ci/apt chromium
	@command -v redis-server >/dev/null || .ci/apt redis-server
	@.ci/later-redis
	@PYTHONPATH=tests .venv/bin/python -m packing

lint:
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check

types:
	@.venv/bin/mypy

imports:
	@.venv/bin/lint-imports

pytest:
	@.venv/bin/pytest --numprocesses 2 --dist loadfile

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
