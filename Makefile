.PHONY: build test check bench generate fuzz interop

build:
	CGO_ENABLED=0 go build -o bin/onnx-entropy ./cmd/onnx-entropy

test:
	go test ./...

# What CI runs.
check:
	bash .ci/run

bench:
	go test -run '^$$' -bench . -benchmem ./internal/... ./runner/ ./optimizer/
	go run ./cmd/onnx-entropy bench mnistfc
	go run ./cmd/onnx-entropy bench mnistconv
	go run ./cmd/onnx-entropy bench allcnn
	go run ./cmd/onnx-entropy bench charlstm

# Needs protoc; the assembly needs nothing but Go.
generate:
	go generate ./...

FUZZTIME ?= 30s
fuzz:
	FUZZTIME=$(FUZZTIME) bash .ci/fuzz

# Needs Python 3: makes a virtual environment with PyTorch, onnx and onnxruntime in VENV.
VENV ?= $(HOME)/.cache/onnx-entropy/venv
interop: build
	test -x $(VENV)/bin/python || python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet torch onnx onnxruntime onnxscript numpy
	$(VENV)/bin/python models/interop.py --bin bin/onnx-entropy
