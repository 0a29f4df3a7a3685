package onnxload

import (
	"cmp"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// A host is a tensor whose numbers are known while the graph is built: row-major, in i if the type is an
// integer or bool, else in f. Numbers in f are rounded to the type.
type host struct {
	elem  int32
	shape []int
	i     []int64
	f     []float64
}

// Element types with short names.
const (
	elemFLOAT  = int32(onnxpb.TensorProto_FLOAT)
	elemDOUBLE = int32(onnxpb.TensorProto_DOUBLE)
	elemINT64  = int32(onnxpb.TensorProto_INT64)
	elemINT32  = int32(onnxpb.TensorProto_INT32)
	elemUINT64 = int32(onnxpb.TensorProto_UINT64)
	elemBOOL   = int32(onnxpb.TensorProto_BOOL)
)

func (h *host) size() int { return len(h.i) + len(h.f) }

// hostLimit bounds the elements that all foldings of one Build may produce together: the time that they take, where MaxMemory
// bounds their memory. The 144 million weights of a VGG-19 whose file makes them by ConstantOfShape are within it.
const hostLimit = 3 << 26

// newHost returns a zeroed tensor, within the limit.
func (b *builder) newHost(elem int32, shape []int) (*host, error) {
	if err := b.charge(shape); err != nil {
		return nil, err
	}
	n := product(shape)
	h := &host{elem: elem, shape: append([]int{}, shape...)}
	switch {
	case onnxpb.IsFloat(elem):
		h.f = make([]float64, n)
	case onnxpb.IsInt(elem):
		h.i = make([]int64, n)
	default:
		return nil, fmt.Errorf("constants of type %s cannot be computed with", onnxpb.TypeName(elem))
	}
	return h, nil
}

// charge counts the elements of a tensor that is computed while the graph is built.
func (b *builder) charge(shape []int) error {
	n, ok := elements(shape, hostLimit)
	if !ok || b.folded+n > hostLimit {
		return fmt.Errorf("its constant result of shape %v is too large to be computed ahead (limit %d numbers)", shape, hostLimit)
	}
	b.folded += n
	return b.spend(shape, 8*int64(n))
}

// elements is the product of shape, if no dimension is negative and it is at most limit.
func elements(shape []int, limit int) (int, bool) {
	n := 1
	for _, d := range shape {
		if d == 0 {
			return 0, true
		}
	}
	for _, d := range shape {
		if d < 0 || n > limit/d {
			return 0, false
		}
		n *= d
	}
	return n, n <= limit
}

// read returns the numbers of a tensor of the file.
func (b *builder) read(s *source) (*host, error) {
	if err := b.charge(s.shape); err != nil {
		return nil, err
	}
	var err error
	h := &host{elem: s.elem(), shape: append([]int{}, s.shape...)}
	switch {
	case onnxpb.IsFloat(h.elem):
		h.f, err = s.tensor.Doubles()
	case onnxpb.IsInt(h.elem):
		h.i, err = s.tensor.Ints()
	default:
		err = fmt.Errorf("constants of type %s cannot be computed with", onnxpb.TypeName(h.elem))
	}
	return h, err
}

// hostOf converts a known value.
func hostOf(t *tensor.Dense) (*host, error) {
	h := &host{shape: append([]int{}, t.Shape()...)}
	if t.RequiresIterator() {
		t = t.Materialize().(*tensor.Dense)
	}
	if t.Shape().TotalSize() == 0 {
		return emptyHost(t.Dtype(), h.shape)
	}
	switch d := t.Data().(type) {
	case []float32:
		h.elem = elemFLOAT
		for _, v := range d {
			h.f = append(h.f, float64(v))
		}
	case []float64:
		h.elem, h.f = elemDOUBLE, append(h.f, d...)
	case []int64:
		h.elem, h.i = elemINT64, append(h.i, d...)
	case []int32:
		h.elem = elemINT32
		for _, v := range d {
			h.i = append(h.i, int64(v))
		}
	case []bool:
		h.elem = elemBOOL
		for _, v := range d {
			h.i = append(h.i, boolInt(v))
		}
	case float32:
		h.elem, h.f = elemFLOAT, []float64{float64(d)}
	case float64:
		h.elem, h.f = elemDOUBLE, []float64{d}
	case int64:
		h.elem, h.i = elemINT64, []int64{d}
	case int32:
		h.elem, h.i = elemINT32, []int64{int64(d)}
	case bool:
		h.elem, h.i = elemBOOL, []int64{boolInt(d)}
	default:
		return nil, fmt.Errorf("numbers of type %v are not known", t.Dtype())
	}
	if n, ok := elements(h.shape, hostLimit); !ok || n != h.size() {
		return nil, fmt.Errorf("shape %v does not fit %d numbers", h.shape, h.size())
	}
	return h, nil
}

// emptyHost is a tensor without elements, of which Gorgonia's give no data.
func emptyHost(dt tensor.Dtype, shape []int) (*host, error) {
	elem, ok := map[tensor.Dtype]int32{
		tensor.Float32: elemFLOAT, tensor.Float64: elemDOUBLE, tensor.Int64: elemINT64, tensor.Int32: elemINT32, tensor.Bool: elemBOOL,
	}[dt]
	if !ok {
		return nil, fmt.Errorf("numbers of type %v are not known", dt)
	}
	h := &host{elem: elem, shape: shape}
	if onnxpb.IsFloat(elem) {
		h.f = []float64{}
	}
	return h, nil
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// round makes x a number of the type.
func round(elem int32, x float64) float64 { return onnxpb.Round(elem, x) }

// ints returns the numbers of an integer tensor as Go ints. Those beyond 2^40 are cut there, which keeps
// the customary "to the end" of Slice and rules out overflow in sums and differences.
func (h *host) ints() ([]int, error) {
	if h.f != nil {
		return nil, fmt.Errorf("%s numbers where integers are needed", onnxpb.TypeName(h.elem))
	}
	x := make([]int, len(h.i))
	for k, v := range h.i {
		x[k] = int(max(min(v, 1<<40), -1<<40))
	}
	return x, nil
}

// at returns element k as a float64.
func (h *host) at(k int) float64 {
	if h.f != nil {
		return h.f[k]
	}
	return float64(h.i[k])
}

// compare orders elements j and k; NaN is the greatest.
func (h *host) compare(j, k int) int {
	if h.f != nil {
		a, b := h.f[j], h.f[k]
		if a != a || b != b {
			return int(boolInt(a != a) - boolInt(b != b))
		}
		return cmp.Compare(a, b)
	}
	if h.elem == elemUINT64 {
		return cmp.Compare(uint64(h.i[j]), uint64(h.i[k]))
	}
	return cmp.Compare(h.i[j], h.i[k])
}

// scalar returns the only element.
func (h *host) scalar() (float64, error) {
	if h.size() != 1 {
		return math.NaN(), fmt.Errorf("shape %v where one number is needed", h.shape)
	}
	return h.at(0), nil
}

// take copies element k of src to element j of h; both hold the same kind of number.
func (h *host) take(j int, src *host, k int) {
	if h.f != nil {
		h.f[j] = src.f[k]
	} else {
		h.i[j] = src.i[k]
	}
}

// broadcastShape is the shape that operands of shapes a and b have together, by NumPy's rule.
func broadcastShape(a, b []int) ([]int, error) {
	n := max(len(a), len(b))
	out := make([]int, n)
	for k := range n {
		x, y := 1, 1
		if i := len(a) - n + k; i >= 0 {
			x = a[i]
		}
		if i := len(b) - n + k; i >= 0 {
			y = b[i]
		}
		switch {
		case x == y || y == 1:
			out[k] = x
		case x == 1:
			out[k] = y
		default:
			return nil, fmt.Errorf("shapes %v and %v do not fit each other", a, b)
		}
	}
	return out, nil
}

// rowMajor returns the strides of a shape.
func rowMajor(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for d := len(shape) - 1; d >= 0; d-- {
		s[d] = n
		n *= shape[d]
	}
	return s
}
