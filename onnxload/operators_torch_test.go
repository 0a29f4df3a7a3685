package onnxload_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// A recordedNode is a node with what PyTorch gives for it; testdata/record_operators.py wrote them.
type recordedNode struct {
	Name    string
	Op      string
	Opset   int64
	Attrs   map[string]recordedAttr
	Inputs  []*recordedTensor // nil where an optional input is absent
	Outputs []*recordedTensor // nil where an output is not looked at
}

// A recordedAttr has one field set.
type recordedAttr struct {
	S      *string
	I      *int64
	F      *float32
	Ints   []int64
	Floats []float32
}

type recordedTensor struct {
	Shape []int64
	Kind  string // float, int or bool
	Data  numbers
	Const bool    // an initializer; else an input of the model
	Grad  numbers // for inputs of floats
}

// numbers are floats; infinities and NaN are strings in the file.
type numbers []float64

func (x *numbers) UnmarshalJSON(b []byte) error {
	var list []any
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	for _, v := range list {
		f, ok := v.(float64)
		if !ok {
			var err error
			if f, err = strconv.ParseFloat(fmt.Sprint(v), 64); err != nil {
				return err
			}
		}
		*x = append(*x, f)
	}
	return nil
}

func (x numbers) ints() []int64 {
	y := make([]int64, len(x))
	for i, v := range x {
		y[i] = int64(v)
	}
	return y
}

// recordedNodes returns the recorded nodes by family.
func recordedNodes(t testing.TB) map[string][]recordedNode {
	t.Helper()
	files, err := filepath.Glob("testdata/operators/*.json.gz")
	if err != nil || len(files) == 0 {
		t.Fatal("no recorded operators", err)
	}
	all := map[string][]recordedNode{}
	for _, file := range files {
		var family struct{ Cases []recordedNode }
		if err := json.Unmarshal(unzip(t, file), &family); err != nil {
			t.Fatal(file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json.gz")] = family.Cases
	}
	return all
}

// Values and gradients of single nodes are PyTorch's, in float64 up to rounding, and in float32 near them.
func TestOperatorsAgreeWithPyTorch(t *testing.T) {
	for family, cases := range recordedNodes(t) {
		t.Run(family, func(t *testing.T) {
			for _, c := range cases {
				t.Run(c.Name, func(t *testing.T) {
					c.check(t, tensor.Float64, 2e-13)
					c.check(t, tensor.Float32, 2e-5)
				})
			}
		})
	}
}

// check compares outputs and gradients within tol of the largest element.
func (c *recordedNode) check(t *testing.T, dt tensor.Dtype, tol float64) {
	t.Helper()
	m := must(onnxload.Parse(marshal(c.model())))
	shapes := map[string][]int{}
	for i, in := range c.Inputs {
		if in != nil && !in.Const {
			shapes[fmt.Sprint("in", i)] = ints64(in.Shape)
		}
	}
	net, err := m.Build(1, onnxload.Options{Dtype: dt, Shapes: shapes, Training: m.TrainingMode()})
	if err != nil {
		t.Fatal(err)
	}
	values := map[*gorgonia.Node]any{}
	var wrt gorgonia.Nodes
	var want []*recordedTensor
	for i, in := range c.Inputs {
		if in == nil || in.Const {
			continue
		}
		n := net.Inputs[len(values)]
		if name := fmt.Sprint("in", i); n.Name() != name {
			t.Fatalf("input %q is %q", name, n.Name())
		}
		if in.Kind != "float" {
			values[n] = in.Data.ints()
			continue
		}
		values[n] = []float64(in.Data)
		wrt, want = append(wrt, n), append(want, in)
	}
	if want := len(m.Outputs); len(net.Outputs) != want {
		t.Fatalf("%d outputs are computed, not %d", len(net.Outputs), want)
	}
	results, wanted := gorgonia.Nodes{}, []*recordedTensor{}
	for _, o := range c.Outputs {
		if o != nil {
			results, wanted = append(results, net.Outputs[len(results)]), append(wanted, o)
		}
	}
	outputs := len(results)
	if len(wrt) > 0 && slices.ContainsFunc(wanted, func(o *recordedTensor) bool { return o.Kind == "float" }) {
		grads, err := weighed(net, results, wanted, wrt, values)
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, grads...)
	}
	got := run(t, net, values, results...)
	for i, w := range wanted {
		if s := results[i].Shape(); !slices.Equal(s, ints64(w.Shape)) {
			t.Errorf("%v output %d has shape %v, PyTorch's %v", dt, i, s, w.Shape)
			return
		}
		within := tol
		if w.Kind != "float" {
			within = 0
		}
		compare(t, fmt.Sprintf("%v output %d", dt, i), got[i], w.Data, within)
	}
	for k, w := range want[:len(results)-outputs] {
		compare(t, fmt.Sprintf("%v gradient of %s", dt, wrt[k].Name()), got[outputs+k], w.Grad, tol)
	}
}

// weighed returns the gradients of the sum over all outputs of floats of sum(output*w), w as the script has it.
func weighed(net *onnxload.Net, outputs gorgonia.Nodes, shapes []*recordedTensor, wrt gorgonia.Nodes, values map[*gorgonia.Node]any) (grads gorgonia.Nodes, err error) {
	err = ops.Building(func() error {
		var loss *gorgonia.Node
		for i, y := range outputs {
			if shapes[i].Kind != "float" {
				continue
			}
			n := y.Shape().TotalSize()
			w := gorgonia.NewTensor(net.Graph, y.Dtype(), 1, gorgonia.WithShape(n), gorgonia.WithName(fmt.Sprint("w", i)))
			x := make([]float64, n)
			for k := range x {
				x[k] = 1 + float64(k%7)/8
			}
			values[w] = x
			if y, err = ops.Reshape(y, []int{n}); err != nil {
				return err
			}
			if y, err = ops.Mul(y, w); err != nil {
				return err
			}
			if y, err = ops.ReduceSum(y, []int{0}, false); err != nil {
				return err
			}
			if loss == nil {
				loss = y
			} else if loss, err = ops.Add(loss, y); err != nil {
				return err
			}
		}
		grads, err = gorgonia.Grad(loss, wrt...)
		return err
	})
	return grads, err
}

func ints64(x []int64) []int {
	y := make([]int, len(x))
	for i, v := range x {
		y[i] = int(v)
	}
	return y
}

func compare(t *testing.T, what string, got []float64, want numbers, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s has %d elements, PyTorch's %d", what, len(got), len(want))
		return
	}
	scale := 1e-3
	for _, v := range want {
		if !math.IsInf(v, 0) {
			scale = math.Max(scale, math.Abs(v))
		}
	}
	for i, v := range got {
		w := want[i]
		if same := v == w || math.IsNaN(v) && math.IsNaN(w); !same && !(math.Abs(v-w) <= tol*scale) {
			t.Errorf("%s, element %d: %.15g, PyTorch has %.15g", what, i, v, w)
			return
		}
	}
}

// model is a model of the node alone.
func (c *recordedNode) model() *onnxpb.ModelProto {
	n := &onnxpb.NodeProto{OpType: proto.String(c.Op), Name: proto.String("node")}
	for _, name := range slices.Sorted(maps.Keys(c.Attrs)) {
		a := c.Attrs[name]
		p := &onnxpb.AttributeProto{Name: proto.String(name)}
		switch {
		case a.S != nil:
			p.Type, p.S = onnxpb.AttributeProto_STRING.Enum(), []byte(*a.S)
		case a.I != nil:
			p.Type, p.I = onnxpb.AttributeProto_INT.Enum(), a.I
		case a.F != nil:
			p.Type, p.F = onnxpb.AttributeProto_FLOAT.Enum(), a.F
		case a.Ints != nil:
			p.Type, p.Ints = onnxpb.AttributeProto_INTS.Enum(), a.Ints
		default:
			p.Type, p.Floats = onnxpb.AttributeProto_FLOATS.Enum(), a.Floats
		}
		n.Attribute = append(n.Attribute, p)
	}
	var inputs []*onnxpb.ValueInfoProto
	var inits []*onnxpb.TensorProto
	for i, in := range c.Inputs {
		if in == nil {
			n.Input = append(n.Input, "")
			continue
		}
		name := fmt.Sprint("in", i)
		n.Input = append(n.Input, name)
		elem := map[string]onnxpb.TensorProto_DataType{
			"float": onnxpb.TensorProto_FLOAT, "int": onnxpb.TensorProto_INT64, "bool": onnxpb.TensorProto_BOOL,
		}[in.Kind]
		if !in.Const {
			v := input(name)
			v.Type.GetTensorType().ElemType = proto.Int32(int32(elem))
			v.Type.GetTensorType().Shape = new(onnxpb.TensorShapeProto)
			for _, d := range in.Shape {
				v.Type.GetTensorType().Shape.Dim = append(v.Type.GetTensorType().Shape.Dim,
					&onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d}})
			}
			inputs = append(inputs, v)
			continue
		}
		p := &onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(int32(elem)), Dims: in.Shape}
		switch in.Kind {
		case "float":
			p.FloatData = narrow(in.Data)
		case "int":
			p.Int64Data = in.Data.ints()
		default:
			for _, v := range in.Data {
				p.Int32Data = append(p.Int32Data, int32(v))
			}
		}
		inits = append(inits, p)
	}
	var outputs []string
	for k, o := range c.Outputs {
		n.Output = append(n.Output, "")
		if o != nil {
			n.Output[k] = fmt.Sprint("out", k)
			outputs = append(outputs, n.Output[k])
		}
	}
	return model(c.Opset, inputs, inits, []*onnxpb.NodeProto{n}, outputs...)
}
