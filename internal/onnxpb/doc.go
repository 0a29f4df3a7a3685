// Package onnxpb holds the protocol buffer messages of an ONNX file and reads the numbers of its tensors.
//
// Fields are those of proto2, so that a field that is absent and one that holds its default value stay what
// they are, and fields that a later IR version adds survive as unknown fields.
package onnxpb

// protoc-gen-go is that of the version of google.golang.org/protobuf in go.mod:
// go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12

//go:generate protoc --proto_path=. --go_out=. --go_opt=module=github.com/onnx-entropy/onnx-entropy/internal/onnxpb onnxentropy/model.proto
