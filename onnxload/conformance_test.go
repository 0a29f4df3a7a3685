package onnxload_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// The cases of the ONNX project (onnx/backend/test/data/node of the Python package), if ONNX_ENTROPY_ONNX_CASES
// names their folder. Cases that need what is not supported are counted, not failed.
func TestConformance(t *testing.T) {
	dir := os.Getenv("ONNX_ENTROPY_ONNX_CASES")
	if dir == "" {
		t.Skip("ONNX_ENTROPY_ONNX_CASES is not set")
	}
	cases, err := filepath.Glob(filepath.Join(dir, "*", "model.onnx"))
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases", err)
	}
	passed := 0
	for _, c := range cases {
		reason, err := conformance(t, filepath.Dir(c))
		name := filepath.Base(filepath.Dir(c))
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case reason == "":
			passed++
			t.Log("passed", name)
		default:
			t.Log("unsupported", name, reason)
		}
	}
	t.Logf("%d of %d cases pass", passed, len(cases))
}

func conformance(t *testing.T, dir string) (unsupported string, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		return "", err
	}
	m, err := onnxload.Parse(b)
	if err != nil {
		return "", err
	}
	set := filepath.Join(dir, "test_data_set_0")
	known, free := map[string]*tensor.Dense{}, map[string][]float64{}
	shapes := map[string][]int{}
	for i, v := range m.Inputs {
		p := readTensor(filepath.Join(set, fmt.Sprintf("input_%d.pb", i)))
		if p == nil {
			return "input of another kind", nil
		}
		shape := []int{}
		for _, d := range p.Dims {
			shape = append(shape, int(d))
		}
		if p.TypeName() != v.Type {
			return "data of another type than the model's", nil // bfloat16 is stored as uint16
		}
		if x, err := p.Doubles(); err == nil {
			free[v.Name], shapes[v.Name] = x, shape
			known[v.Name] = dense(x, shape)
		} else if x, err := p.Ints(); err == nil {
			known[v.Name] = dense(x, shape)
		} else {
			return "input of type " + p.TypeName(), nil
		}
	}
	training := m.TrainingMode()
	if training && m.DropoutNodes() > 0 && !strings.Contains(dir, "zero_ratio") {
		return "other random numbers", nil
	}
	var first error
	for keep := len(m.Inputs); keep >= 0; keep-- {
		o := onnxload.Options{Training: training, Dtype: tensor.Float64, Known: map[string]*tensor.Dense{}, Shapes: map[string][]int{}}
		for i, v := range m.Inputs {
			if x := free[v.Name]; x != nil && i < keep {
				o.Shapes[v.Name] = shapes[v.Name]
			} else {
				o.Known[v.Name] = known[v.Name]
			}
		}
		net, err := m.Build(1, o)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		values := map[*gorgonia.Node]any{}
		for _, n := range net.Inputs {
			values[n] = free[n.Name()]
		}
		out := run(t, net, values, net.Outputs...)
		for i, name := range net.OutputNames {
			at := slices.IndexFunc(m.Outputs, func(v onnxload.ValueInfo) bool { return v.Name == name })
			p := readTensor(filepath.Join(set, fmt.Sprintf("output_%d.pb", at)))
			if p.TypeName() != m.Outputs[at].Type {
				return "data of another type than the model's", nil
			}
			want, err := p.Doubles()
			if err != nil {
				var ints []int64
				if ints, err = p.Ints(); err != nil {
					return "output of type " + p.TypeName(), nil
				}
				for _, v := range ints {
					want = append(want, float64(v))
				}
			}
			var dims []int64
			for _, d := range net.Outputs[i].Shape() {
				dims = append(dims, int64(d))
			}
			if !slices.Equal(dims, p.Dims) && len(p.Dims) > 0 {
				return "", fmt.Errorf("output %q has shape %v, want %v", name, dims, p.Dims)
			}
			for k := range want {
				if got := out[i][k]; !near(got, want[k], 1e-5) && !(math.IsNaN(got) && math.IsNaN(want[k])) && got != want[k] {
					return "", fmt.Errorf("output %q: element %d is %v, want %v", name, k, got, want[k])
				}
			}
		}
		return "", nil
	}
	var u *onnxload.UnsupportedError
	if errors.As(first, &u) {
		return fmt.Sprintf("%s: %s", u.Nodes[0].Op, u.Nodes[0].Reason), nil
	}
	if strings.Contains(first.Error(), "input") && (strings.Contains(first.Error(), "no tensor") || strings.Contains(first.Error(), "elements of type")) {
		return "input kind", nil
	}
	return "", first
}

func readTensor(path string) *onnxpb.TensorProto {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	p := new(onnxpb.TensorProto)
	if err := proto.Unmarshal(b, p); err != nil || p.DataType == nil {
		return nil
	}
	return p
}

func dense[T any](x []T, shape []int) *tensor.Dense {
	if len(shape) == 0 {
		return tensor.New(tensor.FromScalar(x[0]))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x))
}
