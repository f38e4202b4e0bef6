# The hub's commands. `make run` serves it, `make test` tests it, `make check` is the rest of the gate.

# `make test PYTHON=python3.12` takes another interpreter, in an environment of its own beside .venv.
# Only the command line counts: a PYTHON that happens to be exported must not move .venv away.
ifeq ($(origin PYTHON),command line)
CANDIDATES := $(PYTHON)
VENV := .venv-$(notdir $(PYTHON))
else
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11
VENV := .venv
endif
PY := $(VENV)/bin/python

PORT ?= 8000
ARGS ?=
STACKS ?= embedded production
SECONDS ?= 60
SEED ?=

.PHONY: help run bench test test-slow check fmt environment environment-dev
.NOTPARALLEL:

help:
	@echo 'make run    serve the hub on http://127.0.0.1:$(PORT)   (PORT=, HUB_DATA=, DEBUG=)'
	@echo 'make test   the whole suite, on SQLite and on PostgreSQL with Redis   (PYTHON=, ARGS=, STACKS=)'
	@echo 'make test-slow  faults at random against a mixed load   (SECONDS=$(SECONDS), SEED=, STACKS=)'
	@echo 'make bench  the figures against their peers   (ONLY=live, SMALL=1, FULL=1)'
	@echo 'make check  format, lint, types, migrations, system checks, import rules'
	@echo 'make fmt    format, and mend what the linter can mend'

include clients/js/check.mk

# Finds an interpreter and has it build the environment; does nothing when that is up to date.
define build
@for candidate in $(CANDIDATES); do \
	if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
		exec $$candidate .ci/environment.py $(VENV) $(1); \
	fi; \
done; \
echo 'The hub needs Python 3.11 or newer; none of these is: $(CANDIDATES)' >&2; exit 1
endef

environment:
	$(call build)

environment-dev:
	$(call build,--dev)

# `exec`: signals reach the server itself, which ends cleanly and with it make.
run: export DEBUG ?= 1
run: export PORT := $(PORT)
run: environment
	@$(PY) manage.py migrate --verbosity 0
	@$(PY) manage.py demo
	@exec $(PY) manage.py serve --port $(PORT)

# Both runs always happen. Status 5 is pytest's for "ARGS left no test": fine in one run, not in both.
test: environment-dev
	@failed=0; ran=0; \
	for stack in $(STACKS); do \
		echo "--- the $$stack stack"; \
		status=0; HUB_TEST_STACK=$$stack $(PY) -m pytest $(ARGS) || status=$$?; \
		case $$status in \
			0) ran=1 ;; \
			2) exit 2 ;; \
			5) ;; \
			*) ran=1; failed=1 ;; \
		esac; \
	done; \
	[ $$ran = 1 ] && [ $$failed = 0 ]

# The time is shared by the stacks. Without a SEED one is drawn, and printed.
test-slow: environment-dev
	@seed='$(SEED)'; [ -n "$$seed" ] || seed=$$($(PY) -c 'import random; print(random.randrange(10**6))'); \
	seconds=$$($(PY) -c 'print($(SECONDS) / $(words $(STACKS)))'); failed=0; \
	for stack in $(STACKS); do \
		HUB_TEST_STACK=$$stack HUB_TEST_SECONDS=$$seconds HUB_TEST_SEED=$$seed \
			$(PY) -m pytest tests/acceptance/nemesis.py -s -q --no-skips $(ARGS) || failed=1; \
	done; \
	echo "again: make test-slow SECONDS=$(SECONDS) SEED=$$seed STACKS='$(STACKS)'"; \
	[ $$failed = 0 ]

# Ratios to peers that are measured in the same run: benchmarks/README.md.
bench: environment-dev
	@$(PY) -m benchmarks $(if $(ONLY),--only "$(ONLY)") $(if $(SMALL),--small) $(if $(FULL),--full)

# Looks at the code only: the data of a running hub stay out of it.
check: export HUB_DATA := $(VENV)/check-data
check: export SECRET_KEY := only-for-make-check
check: export DEBUG := 1
check: export DATABASE_URL :=
check: export REDIS_URL :=
check: environment-dev check-js
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy --strict hub notifications routing
	@mkdir -p "$$HUB_DATA"
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) manage.py check
	$(PY) -c 'from importlinter.cli import lint_imports_command as main; main()' --no-logo --no-cache

fmt: environment-dev
	$(PY) -m ruff check --fix --exit-zero .
	$(PY) -m ruff format .
