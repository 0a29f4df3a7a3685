package onnxload

import (
	"fmt"
	"maps"
	"slices"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// inputShapes returns the shape of every free input: of every graph input without an initializer and without a
// known value.
//
// The batch is dimension 0 of the free inputs, and every dimension of the same name. Where the file fixes
// dimension 0 of every input, the batch replaces the number that the first has; where some input has a name
// there, numbers stay, for they are something else, such as the layers of a recurrent state.
func (m *Model) inputShapes(batch int, o Options) (map[string][]int, error) {
	var free []*onnxpb.ValueInfoProto
	known := map[string]bool{}
	for _, v := range m.proto.Graph.Input {
		if _, ok := m.info.initializer[v.GetName()]; ok {
			continue
		}
		known[v.GetName()] = true
		if _, ok := o.Known[v.GetName()]; !ok {
			free = append(free, v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Shapes)) {
		if !known[name] || o.Known[name] != nil {
			return nil, fmt.Errorf("onnxload: a shape is given for %q, which is no free input; they are %s", name, m.freeNames())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Known)) {
		if !known[name] {
			return nil, fmt.Errorf("onnxload: a value is given for %q, which is no input; they are %s", name, m.freeNames())
		}
	}

	r := resolver{batch: batch, symbols: map[string]int{}, from: map[string]string{}, fixed: -1}
	for _, v := range free {
		if err := r.scan(v, o.Shapes[v.GetName()]); err != nil {
			return nil, err
		}
	}
	for _, s := range r.zero {
		if _, ok := r.symbols[s]; !ok {
			r.symbols[s] = batch
		}
	}
	shapes := map[string][]int{}
	for _, v := range free {
		s, err := r.resolve(v, o.Shapes[v.GetName()])
		if err != nil {
			return nil, err
		}
		shapes[v.GetName()] = s
	}
	return shapes, nil
}

func (m *Model) freeNames() string {
	var names []string
	for _, v := range m.Inputs {
		names = append(names, fmt.Sprintf("%q", v.Name))
	}
	return fmt.Sprint(names)
}

type resolver struct {
	batch   int
	symbols map[string]int
	from    map[string]string // names of the inputs whose given shapes say so
	zero    []string          // names of dimension 0 of inputs
	dynamic bool              // some input has no number in dimension 0
	fixed   int               // the number there in the first input that has one, or -1
}

// scan learns what the symbols of input v stand for.
func (r *resolver) scan(v *onnxpb.ValueInfoProto, given []int) error {
	t := v.GetType().GetTensorType()
	if t == nil {
		return &UnsupportedError{[]Unsupported{{Name: v.GetName(), Reason: "it is no tensor; sequences, maps and optional values are not supported"}}}
	}
	if t.Shape == nil {
		if given == nil {
			return fmt.Errorf("onnxload: the file gives no shape for input %q; export the model with shapes (a Go program may give one in Options.Shapes)", v.GetName())
		}
		return nil
	}
	if given != nil && len(given) != len(t.Shape.Dim) {
		return fmt.Errorf("onnxload: input %q has %d dimensions, but shape %v is given for it", v.GetName(), len(t.Shape.Dim), given)
	}
	for i, d := range t.Shape.Dim {
		size, isNumber := dimValue(d)
		r.dynamic = r.dynamic || i == 0 && !isNumber
		switch {
		case given != nil:
			if s := d.GetDimParam(); s != "" {
				if old, ok := r.symbols[s]; ok && old != given[i] {
					return fmt.Errorf("onnxload: dimension %q is %d in the shape given for input %q and %d in that for %q", s, old, r.from[s], given[i], v.GetName())
				}
				r.symbols[s], r.from[s] = given[i], v.GetName()
			}
		case i == 0 && !isNumber:
			if s := d.GetDimParam(); s != "" {
				r.zero = append(r.zero, s)
			}
		case i == 0 && r.fixed < 0:
			r.fixed = size
		}
	}
	return nil
}

func (r *resolver) resolve(v *onnxpb.ValueInfoProto, given []int) ([]int, error) {
	if given != nil {
		for i, d := range given {
			if d == 0 {
				return nil, noElements(v)
			}
			if d < 0 {
				return nil, fmt.Errorf("onnxload: dimension %d of the shape given for input %q is %d; it must be at least 1", i, v.GetName(), d)
			}
		}
		return slices.Clone(given), nil
	}
	dims := v.GetType().GetTensorType().GetShape().GetDim()
	shape := make([]int, len(dims))
	for i, d := range dims {
		size, isNumber := dimValue(d)
		bound, isBound := r.symbols[d.GetDimParam()]
		switch {
		case isNumber && (i > 0 || r.dynamic || size != r.fixed):
			shape[i] = size
		case isBound && !isNumber && d.GetDimParam() != "":
			shape[i] = bound
		case i == 0:
			shape[i] = r.batch
		default:
			name := d.GetDimParam()
			if name == "" {
				name = "?"
			}
			return nil, fmt.Errorf("onnxload: dimension %d (%s) of input %q has no size; export with only the batch dynamic "+
				"(a Go program may give the shape in Options.Shapes)", i, name, v.GetName())
		}
		if shape[i] == 0 {
			return nil, noElements(v)
		}
	}
	return shape, nil
}

func noElements(v *onnxpb.ValueInfoProto) error {
	return &UnsupportedError{[]Unsupported{{Name: v.GetName(), Reason: "a shape without elements is not supported"}}}
}

// dimValue returns the number of a dimension. A negative one is how some old exporters wrote "unknown".
func dimValue(d *onnxpb.TensorShapeProto_Dimension) (int, bool) {
	_, ok := d.Value.(*onnxpb.TensorShapeProto_Dimension_DimValue)
	return int(d.GetDimValue()), ok && d.GetDimValue() >= 0
}
