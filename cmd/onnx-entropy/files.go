package main

import (
	"path/filepath"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// dataName is the name of the file with the tensors of a model whose tensors lie outside, beside the model at path: that of
// torch.onnx.export.
func dataName(path string) string { return filepath.Base(path) + ".data" }

// writeModel writes a model to path, and before it the file with its data if there is one. Each is whole or absent.
func writeModel(path string, f *onnxload.Files) error {
	if f.Data != "" {
		if err := report.WriteTo(filepath.Join(filepath.Dir(path), f.Data), f.WriteData); err != nil {
			return err
		}
	}
	return report.WriteFile(path, f.Model)
}
