.PHONY: build test check bench bench-inference microbench generate fuzz interop conformance

build:
	CGO_ENABLED=0 go build -o bin/onnx-entropy ./cmd/onnx-entropy

test:
	go test ./...

# What CI runs.
check:
	bash .ci/run

# Compares with PyTorch if PYTHON has torch; a few minutes, on an idle machine. `make bench NAMES=mnistfc` for one network.
PYTHON ?= python3
NAMES ?=
bench: build
	go run ./models/bench -python $(PYTHON) $(NAMES)

# Compares inference with onnxruntime; PYTHON has torch, torchvision and onnxruntime. `NAMES=mobilenet_v2` for other networks of torchvision.
bench-inference: build
	$(PYTHON) models/bench_inference.py $(NAMES)

# Every kernel and operator.
microbench:
	go test -run '^$$' -bench . -benchmem ./internal/... ./runner/ ./optimizer/

# Needs protoc; the assembly needs nothing but Go.
generate:
	go generate ./...

FUZZTIME ?= 30s
fuzz:
	FUZZTIME=$(FUZZTIME) bash .ci/fuzz

# Needs Python 3: makes a virtual environment with PyTorch, scikit-learn, onnx and onnxruntime in VENV. TensorFlow asks for other versions
# of these: KERAS is a Python with what models/keras_networks.py names, and without it Keras is left out.
KERAS ?=
VENV ?= $(HOME)/.cache/onnx-entropy/venv
interop: build
	test -x $(VENV)/bin/python || python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet torch torchvision transformers onnx onnxruntime onnxscript numpy scikit-learn skl2onnx
	$(VENV)/bin/python models/interop.py --bin bin/onnx-entropy
	CGO_ENABLED=0 go build -o bin/interop ./models/interop
	$(VENV)/bin/python models/networks.py --program bin/interop $(NAMES)
	$(VENV)/bin/python models/sklearn_networks.py --program bin/interop $(NAMES)
	test -z "$(KERAS)" || $(KERAS) models/keras_networks.py --program bin/interop $(NAMES)

# Writes the README's table of operators from ONNX's test cases: those of 1.12, which are Debian's package
# libonnx-testdata, and those of the newest onnx package of PyPI.
CASES ?= $(HOME)/.cache/onnx-entropy/cases
conformance:
	test -d /usr/share/libonnx-testdata || { echo "install the package libonnx-testdata"; exit 1; }
	test -x $(VENV)/bin/python || python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet onnx numpy pillow
	$(VENV)/bin/python models/conformance.py $(CASES)
	go test ./cmd/onnx-entropy -run TestCoverage -count 1 -newest $(CASES)
