// Package internal has no code of its own; this test keeps the direction of the module's imports.
package internal

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/onnx-entropy/onnx-entropy/"

// arrows says which packages of the module, and which of the two libraries that shape it, each package may
// import. A package that is not listed here may import none of them.
var arrows = map[string]string{
	"cmd/onnx-entropy":    "runner onnxload optimizer models internal/dataset internal/report internal/onnxpb internal/kernels",
	"runner":              "gorgonia onnxload optimizer internal/ops internal/exec internal/rng internal/parallel internal/dataset internal/checkpoint internal/report",
	"onnxload":            "onnx-go gorgonia internal/onnxpb internal/ops internal/rng",
	"optimizer":           "internal/kernels internal/rng internal/parallel",
	"optimizer/solver":    "optimizer gorgonia",
	"models/bench":        "models internal/report",
	"models/interop":      "runner onnxload optimizer internal/onnxpb",
	"models":              "internal/onnxpb internal/rng",
	"internal/exec":       "gorgonia internal/ops internal/kernels internal/parallel",
	"internal/ops":        "gorgonia internal/kernels internal/rng internal/parallel",
	"internal/kernels":    "internal/rng internal/parallel",
	"internal/dataset":    "internal/kernels internal/rng internal/parallel",
	"internal/report":     "",
	"internal/checkpoint": "",
	"internal/fixture":    "internal/onnxpb",
	"internal/onnxpb":     "",
	"internal/parallel":   "",
	"internal/rng":        "",
	"internal":            "",
}

var libraries = map[string]string{"gorgonia.org/gorgonia": "gorgonia", "github.com/owulveryck/onnx-go": "onnx-go"}

func TestImportsFollowTheArchitecture(t *testing.T) {
	cmd := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) < 5 {
		t.Fatalf("go list gave %d packages", len(lines))
	}
	for _, line := range lines {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		allowed, known := arrows[pkg]
		if !known {
			t.Errorf("package %s has no place in the architecture: add it to arrows", pkg)
			continue
		}
		may := map[string]bool{}
		for _, p := range strings.Fields(allowed) {
			may[p] = true
		}
		for _, imp := range fields[1:] {
			short, ours := strings.CutPrefix(imp, module)
			if !ours {
				if short, ours = libraries[imp]; !ours {
					continue
				}
			}
			if !may[short] {
				t.Errorf("package %s imports %s", pkg, short)
			}
		}
	}
}
