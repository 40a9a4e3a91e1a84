# make demo      install into .venv and train on real text: the Wikipedia sample inside gensim's wheel
# make test      install what tests need and run them
# make check     format, lint and type checks, and the report page's HTML, CSS and JavaScript
# make slow      tests that take minutes or need a browser
# make sanitize  the native code's tests under AddressSanitizer and UBSan
# make fuzz      every reader, the scanner and the encoder for FUZZ_SECONDS each (600); needs clang++ with libFuzzer
# make soak      CORPUS=text: half an hour of training, killed fifty times, held to the run that was left alone
# make tsan      the native code in threads under ThreadSanitizer

PYTHON ?= python3
VENV ?= .venv
FUZZ_SECONDS ?= 600
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
SOURCES := pyproject.toml setup.py constraints.txt $(wildcard kernels/native/*.cpp kernels/native/*.hpp kernels/native/objectives/*.hpp)

.PHONY: demo test check slow sanitize tsan fuzz soak clean

demo: $(VENV)/demo-installed
	mkdir -p demo
	$(PY) -m w2vfast.train --demo -o demo/vectors.bin

test: $(VENV)/test-installed check
	$(PY) -m pytest -m "not slow" -n 2 --dist loadfile

slow: $(VENV)/test-installed
	$(PY) -m pytest -m slow

check: $(VENV)/test-installed
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	./tests/typecheck.sh $(VENV)/bin/mypy
	$(PY) tests/check_page.py

sanitize: $(VENV)/test-installed
	./tests/sanitize.sh $(PY)

fuzz: $(VENV)/test-installed
	$(PIP) 'atheris>=3'
	$(PY) -m tests.fuzz --seconds $(FUZZ_SECONDS)

soak: $(VENV)/test-installed
	$(PY) -m tests.soak $(CORPUS) --csv benchmarks/soak.csv

tsan: $(VENV)/test-installed
	./tests/sanitize.sh --thread $(PY)

$(VENV)/created:
	$(PYTHON) -m venv $(VENV)
	touch $@

# Torch comes first and alone, so that a version pinned in constraints.txt is taken before anything asks for another.
$(VENV)/demo-installed: $(VENV)/created $(SOURCES)
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) --editable .
	touch $@

# What tests need is what the demo needs and more: with it the demo is installed too, and the native parts built once.
$(VENV)/test-installed: $(VENV)/created $(SOURCES)
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) --editable '.[dev]'
	touch $(VENV)/demo-installed $@

clean:
	rm -rf build dist demo *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find kernels w2vfast -name '*.so' -delete
