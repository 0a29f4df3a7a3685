package main

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// A value is the content of a tensor file: floats or integers.
type value struct {
	elem  int32 // ONNX element type
	shape []int
	f     []float64 // of floating-point types
	i     []int64   // of integers and bools
}

// readValues reads dir/prefix_0.pb, dir/prefix_1.pb and so on.
func readValues(dir, prefix string) ([]value, error) {
	paths, err := filepath.Glob(filepath.Join(dir, prefix+"_*.pb"))
	if err != nil {
		return nil, err
	}
	index := func(path string) (int, bool) {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), prefix+"_"), ".pb"))
		return n, err == nil
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { _, ok := index(p); return !ok })
	slices.SortFunc(paths, func(a, b string) int {
		i, _ := index(a)
		j, _ := index(b)
		return i - j
	})
	var vs []value
	for want, path := range paths {
		if n, _ := index(path); n != want {
			return nil, fmt.Errorf("%s: %s_%d.pb is missing", dir, prefix, want)
		}
		v, err := readValue(path)
		if err != nil {
			return nil, err
		}
		vs = append(vs, v)
	}
	return vs, nil
}

// readValue reads a file with one TensorProto.
func readValue(path string) (v value, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return v, fmt.Errorf("%s cannot be read: %w", path, err.(*fs.PathError).Err)
	}
	var t onnxpb.TensorProto
	if err := proto.Unmarshal(b, &t); err != nil {
		return v, fmt.Errorf("%s is not a tensor file (TensorProto)", path)
	}
	v.elem = t.GetDataType()
	for _, d := range t.GetDims() {
		v.shape = append(v.shape, int(d))
	}
	switch {
	case onnxpb.IsFloat(v.elem):
		v.f, err = t.Doubles()
	case onnxpb.IsInt(v.elem):
		v.i, err = t.Ints()
	default:
		return v, &unsupportedType{path, t.TypeName()}
	}
	if err != nil {
		return v, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

type unsupportedType struct{ path, name string }

func (e *unsupportedType) Error() string {
	return fmt.Sprintf("%s holds elements of type %s; floating-point numbers of at least 16 bits, integers of at least 8 and BOOL are supported", e.path, e.name)
}

// dense is v as a tensor of the given type of floats, or of int64.
func (v value) dense(floats tensor.Dtype) *tensor.Dense {
	var data any = v.i
	switch {
	case v.f != nil && floats == tensor.Float64:
		data = v.f
	case v.f != nil:
		x := make([]float32, len(v.f))
		for i, f := range v.f {
			x[i] = float32(f)
		}
		data = x
	}
	if len(v.shape) > 0 {
		return tensor.New(tensor.WithShape(v.shape...), tensor.WithBacking(data))
	}
	switch x := data.(type) {
	case []float32:
		return tensor.New(tensor.FromScalar(x[0]))
	case []float64:
		return tensor.New(tensor.FromScalar(x[0]))
	}
	return tensor.New(tensor.FromScalar(v.i[0]))
}

func (v value) empty() bool { return len(v.f)+len(v.i) == 0 }

// bfloat reads numbers of UINT16 as the BFLOAT16 that the model says they are; ONNX 1.12 wrote them so.
func (v *value) bfloat(typeName string) {
	if typeName != onnxpb.TypeName(int32(onnxpb.TensorProto_BFLOAT16)) || v.elem != int32(onnxpb.TensorProto_UINT16) {
		return
	}
	v.elem = int32(onnxpb.TensorProto_BFLOAT16)
	for _, bits := range v.i {
		v.f = append(v.f, float64(math.Float32frombits(uint32(bits)<<16)))
	}
	v.i = nil
}
