# The commands of the project. What they do is in tools/gate.py; each sets up the virtual environment that it needs.
PYTHON ?= python3

.PHONY: demo test docs bench bench-peers clean

demo test docs bench bench-peers:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make $@ PYTHON=python3.12")'
	@$(PYTHON) tools/gate.py $@

clean:
	rm -rf .venv .venv-* build dist mutants .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
