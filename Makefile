# Everything a clone needs: Python 3.11 or newer, pip and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SPECC := $(BIN)/specc
RUNS := runs
RUN = $$(ls -td $(RUNS)/digits_mlp/*/ | head -1)

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint schemas data modules zoo bench clean

help:  ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# Installing torch by itself first keeps pip from resolving it together with everything else.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/.installed  ## build, train, export and prove a model of handwritten digits
	@$(SPECC) check specs/digits_mlp.json
	@$(SPECC) build specs/digits_mlp.json
	@$(SPECC) train specs/digits_mlp.json --runs $(RUNS)
	@$(SPECC) export --onnx --runs $(RUNS)
	@$(SPECC) predict "$(RUN)model.onnx" --data specs/data/digits.csv -o "$(RUN)predictions.csv"
	@echo
	@echo "what was made:"
	@echo "  the source        build/digits_mlp/model.py"
	@echo "  the trained model $(RUN)model.onnx"
	@echo "  its proof         $(RUN)parity.json"
	@echo "  its predictions   $(RUN)predictions.csv"

test: $(VENV)/.dev  ## all checks and tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2

test-fast: $(VENV)/.dev  ## the quick part of the tests
	$(BIN)/python -m pytest -n 2 -m "not slow"

lint: $(VENV)/.dev  ## format and check the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(BIN)/mypy
	$(BIN)/lint-imports

schemas: $(VENV)/.dev  ## write schemas/ and the tables anew from the operators
	$(BIN)/python tools/make_catalog.py
	$(BIN)/python tools/make_names.py
	$(BIN)/python tools/make_schemas.py

data: $(VENV)/.dev  ## write specs/data anew from its sources
	$(BIN)/python tools/make_datasets.py

modules: $(VENV)/.dev  ## PyTorch's own module tests, through spec, source and ONNX Runtime
	$(BIN)/python tools/check_modules.py

zoo: $(VENV)/.dev  ## compare the zoo with its originals (needs torchvision and transformers)
	$(BIN)/python tools/check_zoo.py

bench: $(VENV)/.dev  ## how fast training is beside other ways (with Lightning and Keras if installed)
	$(BIN)/python tools/bench_train.py

clean:  ## remove what was made
	rm -rf build $(RUNS) $(VENV)
