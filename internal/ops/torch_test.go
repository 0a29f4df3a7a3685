package ops

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// recorded is a tensor of testdata/torch.json, which testdata/record_torch.py makes.
type recorded struct {
	Shape []int
	Data  []float64
	Int   bool
}

func (r *recorded) buf() *Buf {
	if !r.Int {
		return &Buf{Shape: r.Shape, F64: r.Data}
	}
	b := NewBuf(tensor.Int64, r.Shape)
	for i, v := range r.Data {
		b.I64[i] = int64(v)
	}
	return b
}

// TestTorch compares values and gradients with PyTorch's, in float64.
func TestTorch(t *testing.T) {
	makers := map[string]builder{
		"Relu":               of1(Relu),
		"LeakyRelu":          of1(leaky(0.1)),
		"Clip":               of1(clip(-1.25, 1.5)),
		"ClipOnBounds":       of1(clip(-1, 2)),
		"Abs":                of1(Abs),
		"Sigmoid":            of1(Sigmoid),
		"Tanh":               of1(Tanh),
		"Softplus":           of1(Softplus),
		"Erf":                of1(Erf),
		"Mul":                of2(Mul),
		"Div":                of2(Div),
		"Softmax":            of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Softmax(x, 1) }),
		"LogSoftmax":         of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return LogSoftmax(x, -1) }),
		"ReduceMean":         of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ReduceMean(x, []int{0, 2}, false) }),
		"PadReflect":         padded([]int{0, 0, 1, 2, 0, 0, 2, 1}, "reflect"),
		"PadEdge":            padded([]int{0, 0, 3, 2, 0, 0, 2, 1}, "edge"),
		"PadConstant":        padded([]int{0, 0, -1, 2, 0, 0, 2, -1}, "constant"),
		"BatchNormTrain":     buildNormTrain(1e-5),
		"BatchNormTrain2":    buildNormTrain(1e-5),
		"BatchNorm":          buildNorm(1e-5),
		"CrossEntropy":       of2(CrossEntropy),
		"CrossEntropyImages": of2(CrossEntropy),
		"NLL":                of2(NLL),
		"MSE":                of2(plainMSE),
		"HardSwish":          of1(curveOf("HardSwish")),
		"HardSigmoid":        of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return HardSigmoid(x, 1.0/6, 0.5) }),
		"Elu":                of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Elu(x, 0.7) }),
		"Celu":               of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Celu(x, 0.5) }),
		"Selu":               of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Selu(x, 1.6732632423543772, 1.0507009873554805) }),
		"Softshrink":         of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Shrink(x, 0.5, 0.5) }),
		"Hardshrink":         of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Shrink(x, 0, 0.5) }),
		"Threshold":          of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ThresholdedRelu(x, 0.5) }),
		"Softsign":           of1(curveOf("Softsign")),
		"Mish":               of1(curveOf("Mish")),
		"Swish":              of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Swish(x, 1) }),
		"Gelu":               of1(curveOf("Gelu")),
		"GeluTanh":           of1(curveOf("GeluTanh")),
		"PRelu":              of2(PRelu),
		"Sign":               of1(curveOf("Sign")),
		"Round":              of1(curveOf("Round")),
		"Floor":              of1(curveOf("Floor")),
		"Ceil":               of1(curveOf("Ceil")),
		"Pow":                of2(Pow),
		"PowConst":           of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return PowConst(x, 3) }),
		"PowZero":            of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return PowConst(x, 0) }),
		"Max":                of2(Max),
		"Min":                of2(Min),
		"Fmod":               of2(func(a, b *gorgonia.Node) (*gorgonia.Node, error) { return Mod(a, b, false) }),
		"FloorMod":           of2(func(a, b *gorgonia.Node) (*gorgonia.Node, error) { return Mod(a, b, true) }),
		"ReduceMax":          over(ReduceMax),
		"ReduceMin":          over(ReduceMin),
		"ReduceProd":         over(ReduceProd),
		"ReduceL1":           over(ReduceL1),
		"ReduceL2":           over(ReduceL2),
		"ReduceLogSumExp":    over(ReduceLogSumExp),
		"CumSum":             of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return CumSum(x, 1, false, false) }),
		"CumProd":            of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return CumProd(x, 1, false, false) }),
		"Trilu":              of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Trilu(x, -1, false) }),
		"GatherElements":     of2(func(x, i *gorgonia.Node) (*gorgonia.Node, error) { return GatherElements(x, i, 1) }),
		"ScatterElements":    scattering("none"),
		"ScatterAdd":         scattering("add"),
		"ScatterMul":         scattering("mul"),
		"ScatterMax":         scattering("max"),
		"Where": func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
			return Where(in[0], in[1], in[2])
		},
		"GridCubicZeros":    gridded("cubic", "zeros", false),
		"GridCubicBorder":   gridded("cubic", "border", true),
		"GridCubicReflect":  gridded("cubic", "reflection", false),
		"GridLinearZeros":   gridded("linear", "zeros", true),
		"GridLinearReflect": gridded("linear", "reflection", true),
		"TopK": of1(func(x *gorgonia.Node) (*gorgonia.Node, error) {
			i, err := TopKIndex(x, 2, 1, true)
			if err != nil {
				return nil, err
			}
			return GatherElements(x, i, 1)
		}),
	}
	text, err := os.ReadFile("testdata/torch.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Name   string
			Inputs []*recorded
			Output *recorded
			Grads  []*recorded
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != len(makers) {
		t.Errorf("%d cases are recorded, %d are known", len(file.Cases), len(makers))
	}
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			var point []*Buf
			var wrt []int
			for i, r := range c.Inputs {
				point = append(point, r.buf())
				if c.Grads[i] != nil {
					wrt = append(wrt, i)
				}
			}
			// The script weighs outputs by 1 + (i mod 7)/8, the helper by its own numbers: a product turns
			// one into the other.
			build := func(g *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
				y, err := makers[c.Name](g, in)
				if err != nil {
					return nil, err
				}
				return apply(&reweigh{base{name: "reweigh", out: y.Shape()}}, y)
			}
			tr := newTrial(t, build, tensor.Float64, point, wrt)
			compare(t, "output", tr.eval(t, point, operand(tr.out))[0], c.Output)
			for k, g := range tr.grads(t, point) {
				compare(t, "gradient", g, c.Grads[wrt[k]])
			}
		})
	}
}

func padded(pads []int, mode string) builder {
	return of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Pad(x, pads, 1.5, mode) })
}

func gridded(mode, padding string, corners bool) builder {
	return of2(func(x, grid *gorgonia.Node) (*gorgonia.Node, error) {
		return GridSample(x, grid, GridAttr{mode, padding, corners})
	})
}

// operand is the only operand of n.
func operand(n *gorgonia.Node) *gorgonia.Node {
	it := n.Graph().From(n.ID())
	it.Next()
	return it.Node().(*gorgonia.Node)
}

func compare(t *testing.T, what string, got *Buf, want *recorded) {
	t.Helper()
	if !sameShape(got.Shape, want.Shape) {
		t.Fatalf("%s has shape %v, PyTorch's %v", what, got.Shape, want.Shape)
	}
	scale := 1e-3
	for _, v := range want.Data {
		scale = math.Max(scale, math.Abs(v))
	}
	for i, v := range got.F64 {
		// Rounding of a few operations and of short sums in float64.
		if math.Abs(v-want.Data[i]) > 1e-13*scale {
			t.Fatalf("%s, element %d: %.17g, PyTorch has %.17g", what, i, v, want.Data[i])
		}
	}
}

// reweigh multiplies by (1 + (i mod 7)/8)/weight(i); it is linear.
type reweigh struct{ base }

func (o *reweigh) Phases() []int { return []int{1} }

func (o *reweigh) Run(_ *Env, _, _, _ int, out *Buf, in []*Buf) error {
	for i, v := range in[0].F64 {
		out.F64[i] = v * (1 + float64(i%7)/8) / weight(i)
	}
	return nil
}

func (o *reweigh) SymDiff(_ gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := apply(&reweigh{base{name: "reweigh", out: o.out}}, dy)
	return gorgonia.Nodes{dx}, err
}

func curveOf(name string) func(*gorgonia.Node) (*gorgonia.Node, error) {
	return func(x *gorgonia.Node) (*gorgonia.Node, error) { return Curve(name, x) }
}

func over(f func(*gorgonia.Node, []int, bool) (*gorgonia.Node, error)) builder {
	return of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return f(x, []int{1}, false) })
}

func scattering(reduction string) builder {
	return func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return ScatterElements(in[0], in[1], in[2], 1, reduction)
	}
}
