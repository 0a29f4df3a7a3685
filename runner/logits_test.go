package runner_test

import (
	"math"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// A final Softmax or LogSoftmax is passed over: loss and gradient are those of the textbook, softmax(x) minus the label
// over the number of samples, also where a probability is rounded to 0, and where axes of length 1 come behind it.
func TestCrossEntropyOnLogits(t *testing.T) {
	x := []float64{1, -2, 0.5, 3, 0, -1, -2000, 2000, 0}
	labels := []int64{1, 0, 0}
	var loss float64
	want := make([]float64, len(x))
	for i, l := range labels {
		row := x[3*i : 3*i+3]
		top := max(row[0], row[1], row[2])
		sum := 0.0
		for _, v := range row {
			sum += math.Exp(v - top)
		}
		loss += (math.Log(sum) + top - row[l]) / 3
		for j, v := range row {
			want[3*i+j] = math.Exp(v-top) / sum / 3
		}
		want[3*i+int(l)] -= 1.0 / 3
	}
	for name, last := range map[string]func(*gorgonia.Node, int) (*gorgonia.Node, error){
		"":           func(x *gorgonia.Node, _ int) (*gorgonia.Node, error) { return x, nil },
		"Softmax":    ops.Softmax,
		"LogSoftmax": ops.LogSoftmax,
		"Softmax, reshaped": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			y, err := ops.Softmax(x, axis)
			if err == nil {
				y, err = ops.Reshape(y, tensor.Shape{3, 1, 3})
			}
			if err == nil {
				y, err = ops.Reshape(y, tensor.Shape{3, 3, 1})
			}
			return y, err
		},
		"Softmax, transposed": func(x *gorgonia.Node, _ int) (*gorgonia.Node, error) {
			y, err := ops.Transpose(x, []int{1, 0})
			if err == nil {
				y, err = ops.Softmax(y, 0)
			}
			if err == nil {
				y, err = ops.Transpose(y, []int{1, 0})
			}
			return y, err
		},
		"Softmax, clipped": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			y, err := ops.Softmax(x, axis)
			if err == nil {
				y, err = ops.Clip(y, 1e-7, 1-1e-7)
			}
			return y, err
		},
		"Softmax, of Exp, ReduceSum and Div": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			return chain(x).exp().over(func(e link) link { return e.sum(axis, true) }).end()
		},
		"Softmax, of two Exp and a sum that is reshaped and expanded": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			return chain(x).exp().over(func(link) link { return chain(x).exp().sum(axis, false).reshape(3, 1).expand(3, 3) }).end()
		},
		"Softmax, with the greatest subtracted": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			return chain(x).less(chain(x).top(axis)).exp().over(func(e link) link { return e.sum(axis, true) }).end()
		},
		"Softmax, with the greatest subtracted twice": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			return chain(x).less(chain(x).top(axis)).exp().over(func(link) link { return chain(x).less(chain(x).top(axis)).exp().sum(axis, true) }).end()
		},
		"Softmax, rounded": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			return chain(x).softmax(axis).by(halves).end()
		},
		"Softmax, with a small number in the denominator": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			small := gorgonia.NewScalar(x.Graph(), x.Dtype(), gorgonia.WithName("small"), gorgonia.WithValue(gorgonia.NewF64(1e-8)))
			return chain(x).exp().over(func(e link) link { return e.sum(axis, true).plus(chain(small)) }).end()
		},
		"Softmax, times the reciprocal": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			e := chain(x).exp()
			return e.sum(axis, true).reciprocal().times(e).reshape(3, 3, 1).end()
		},
		"Softmax, as exp of x-logsumexp": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			return chain(x).less(chain(x).logSumExp(axis)).exp().end()
		},
		"Softmax, as exp of LogSoftmax": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			return chain(x).logSoftmax(axis).exp().clip(1e-7, 1).end()
		},
		"LogSoftmax, as log of Softmax": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			return chain(x).softmax(axis).clip(1e-9, 1).log().clip(-100, 0).end()
		},
		"LogSoftmax, as x-logsumexp": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			return chain(x).less(chain(x).logSumExp(axis)).end()
		},
		"LogSoftmax, as x-log(sum(exp(x))) with the greatest subtracted": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			z := chain(x).less(chain(x).top(axis))
			return z.less(z.exp().sum(axis, true).log()).end()
		},
	} {
		g := gorgonia.NewGraph()
		in := gorgonia.NewMatrix(g, tensor.Float64, gorgonia.WithShape(3, 3), gorgonia.WithName("x"),
			gorgonia.WithValue(tensor.New(tensor.WithShape(3, 3), tensor.WithBacking(append([]float64{}, x...)))))
		y, err := last(in, 1)
		if err != nil {
			t.Fatal(err)
		}
		of := append(tensor.Shape{3}, y.Shape()[2:]...) // the labels
		if want, _, _ := strings.Cut(name, ","); runner.EndsIn(y, of) != want {
			t.Errorf("%s: it ends in %q, want %q", name, runner.EndsIn(y, of), want)
		}
		cost, targets, err := runner.CrossEntropyOnLogits(gorgonia.Nodes{y}, []tensor.Shape{of})
		if err != nil {
			t.Fatal(err)
		}
		if err := gorgonia.Let(targets[0], tensor.New(tensor.WithShape(of...), tensor.WithBacking(append([]int64{}, labels...)))); err != nil {
			t.Fatal(err)
		}
		d, err := gorgonia.Grad(cost, in)
		if err != nil {
			t.Fatal(err)
		}
		var gotLoss, gotGrad gorgonia.Value
		gorgonia.Read(cost, &gotLoss)
		gorgonia.Read(d[0], &gotGrad)
		m := gorgonia.NewTapeMachine(g)
		if err := m.RunAll(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if v := gotLoss.Data().(float64); math.Abs(v-loss) > 1e-12*loss {
			t.Errorf("%s: loss %v, want %v", name, v, loss)
		}
		for i, v := range gotGrad.Data().([]float64) {
			if math.Abs(v-want[i]) > 1e-14 {
				t.Errorf("%s: element %d of the gradient is %v, want %v", name, i, v, want[i])
			}
		}
		m.Close()
	}
	// A Softmax along another axis than that of the classes is a part of the network.
	g := gorgonia.NewGraph()
	in := gorgonia.NewTensor(g, tensor.Float64, 3, gorgonia.WithShape(2, 3, 4), gorgonia.WithName("x"))
	y, err := ops.Softmax(in, 1)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := runner.EndsIn(y, tensor.Shape{2, 4}), runner.EndsIn(y, tensor.Shape{2, 3}); a != "Softmax" || b != "" {
		t.Errorf("softmax along axis 1 ends in %q and %q", a, b)
	}
	turned, err := ops.Transpose(y, []int{0, 2, 1})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := runner.EndsIn(turned, tensor.Shape{2, 4}), runner.EndsIn(turned, tensor.Shape{2, 3}); a != "Softmax" || b != "" {
		t.Errorf("softmax along axis 1 that becomes axis 2 ends in %q and %q", a, b)
	}
	bounded, err := ops.Clip(y, 0.1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := runner.EndsIn(bounded, tensor.Shape{2, 4}); got != "" || ops.Squashed(bounded).Name != "Softmax" {
		t.Errorf("a clipping that changes probabilities is passed over: %q", got)
	}
	for _, c := range []struct{ shape, labels tensor.Shape }{{tensor.Shape{2, 12}, tensor.Shape{2}}, {tensor.Shape{2, 6, 2}, tensor.Shape{2, 2}}, {tensor.Shape{6, 4}, tensor.Shape{6}}} {
		z, err := ops.Reshape(y, c.shape)
		if err != nil {
			t.Fatal(err)
		}
		if got := runner.EndsIn(z, c.labels); got != "" {
			t.Errorf("softmax along 3 of shape %v is taken for one along the classes of shape %v", y.Shape(), c.shape)
		}
	}
}

// What only looks like a softmax is none, and what comes from one is known to.
func TestNoSoftmax(t *testing.T) {
	g := gorgonia.NewGraph()
	input := func(name string, shape ...int) link {
		return chain(gorgonia.NewTensor(g, tensor.Float64, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name)))
	}
	number := func(name string, v float64) link {
		return chain(gorgonia.NewScalar(g, tensor.Float64, gorgonia.WithName(name), gorgonia.WithValue(gorgonia.NewF64(v))))
	}
	x, z, weight := input("x", 3, 3), input("z", 3, 3), input("weight", 3)
	two, half := number("two", 2), number("half", 0.5)
	p := x.softmax(1)
	byHand := x.exp().over(func(e link) link { return e.sum(1, true) })
	for name, c := range map[string]struct {
		y    link
		want string // what it comes from
		log  bool
	}{
		"exp(x)/sum(exp(z))":                   {x.exp().over(func(link) link { return z.exp().sum(1, true) }), "", false},
		"exp(x)/sum(x)":                        {x.exp().over(func(link) link { return x.sum(1, true) }), "", false},
		"x/sum(x)":                             {x.over(func(x link) link { return x.sum(1, true) }), "", false},
		"sums broadcast along the wrong axis":  {x.exp().over(func(e link) link { return e.sum(1, false) }), "", false},
		"another thing subtracted below":       {x.less(x.top(1)).exp().over(func(link) link { return x.exp().sum(1, true) }), "", false},
		"half the sum":                         {x.exp().over(func(e link) link { return e.sum(1, true).times(half) }), "", false},
		"x-logsumexp(z)":                       {x.less(z.logSumExp(1)), "", false},
		"x-log(sum(x))":                        {x.less(x.sum(1, true).log()), "", false},
		"along the other axis":                 {x.softmax(0), "Softmax", false},
		"by hand along the other axis":         {x.exp().over(func(e link) link { return e.sum(0, true) }), "Softmax", false},
		"scaled":                               {p.times(two), "Softmax", false},
		"by hand, scaled":                      {byHand.times(two), "Softmax", false},
		"added to":                             {p.plus(half), "Softmax", false},
		"smoothed with a layer's numbers":      {p.plus(z), "", false},
		"of learned scales":                    {p.times(weight), "", false},
		"mean of two":                          {p.plus(z.softmax(1)).times(half), "Softmax", false},
		"log of the mean of two":               {p.plus(z.softmax(1)).times(half).log(), "Softmax", true},
		"log with a small number":              {p.plus(number("epsilon", 1e-8)).log(), "Softmax", true},
		"log of log":                           {x.logSoftmax(1).log(), "", false},
		"tempered":                             {x.logSoftmax(1).times(half), "LogSoftmax", true},
		"tempered and back":                    {x.logSoftmax(1).times(half).exp(), "LogSoftmax", false},
		"clipped too much":                     {p.clip(0.1, 1), "Softmax", false},
		"logarithm clipped as if it were none": {x.logSoftmax(1).clip(1e-7, 1), "LogSoftmax", false},
		"1-sigmoid":                            {number("one", 1).less(x.by(ops.Sigmoid)), "Sigmoid", false},
		"gate":                                 {x.times(x.by(ops.Sigmoid)), "", false},
		"gate of a gate":                       {x.by(ops.Sigmoid).times(z.by(ops.Sigmoid)), "Sigmoid", false},
		"decisions":                            {x.by(decide), "Cast of integers", false},
		"hard sigmoid":                         {x.by(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ops.HardSigmoid(x, 0.2, 0.5) }), "HardSigmoid", false},
		"in 16 bits":                           {p.times(two).by(halves), "Softmax", false},
		"after a layer":                        {p.with(z, ops.MatMul), "", false},
	} {
		if c.y.err != nil {
			t.Fatalf("%s: %v", name, c.y.err)
		}
		got := ops.Squashed(c.y.n)
		if got.Name != c.want || got.Log != c.log {
			t.Errorf("%s: it comes from %q (logarithm: %v), want %q (%v)", name, got.Name, got.Log, c.want, c.log)
		}
		if end := runner.EndsIn(c.y.n, tensor.Shape{3}); end != "" {
			t.Errorf("%s: it ends in %s", name, end)
		}
	}
	twice := p.softmax(1)
	logits, name, err := ops.Logits(twice.n, 1)
	if err != nil || name != "Softmax" || ops.Squashed(logits).Name != "Softmax" {
		t.Errorf("the logits of a Softmax of a Softmax: %q, %v, %v", name, ops.Squashed(logits), err)
	}
}

// decide is 1 where x is positive, as a float.
func decide(x *gorgonia.Node) (*gorgonia.Node, error) {
	y, err := ops.Test("Greater", x, func(v float64) bool { return v > 0 })
	if err != nil {
		return nil, err
	}
	return ops.Convert(y, x.Dtype())
}

// halves rounds to multiples of a half, as if to a type of few bits.
func halves(x *gorgonia.Node) (*gorgonia.Node, error) {
	return ops.Round16(x, func(v float64) float64 { return math.Round(2*v) / 2 })
}

// A link is a node of a chain of operators, and the first error on the way.
type link struct {
	n   *gorgonia.Node
	err error
}

func chain(n *gorgonia.Node) link { return link{n: n} }

func (l link) end() (*gorgonia.Node, error) { return l.n, l.err }

func (l link) by(f func(x *gorgonia.Node) (*gorgonia.Node, error)) link {
	if l.err == nil {
		l.n, l.err = f(l.n)
	}
	return l
}

func (l link) with(m link, f func(a, b *gorgonia.Node) (*gorgonia.Node, error)) link {
	if m.err != nil {
		return m
	}
	return l.by(func(x *gorgonia.Node) (*gorgonia.Node, error) { return f(x, m.n) })
}

func (l link) exp() link                     { return l.by(ops.Exp) }
func (l link) log() link                     { return l.by(ops.Log) }
func (l link) reciprocal() link              { return l.by(ops.Reciprocal) }
func (l link) less(m link) link              { return l.with(m, ops.Sub) }
func (l link) plus(m link) link              { return l.with(m, ops.Add) }
func (l link) times(m link) link             { return l.with(m, ops.Mul) }
func (l link) over(f func(l link) link) link { return l.with(f(l), ops.Div) }

func (l link) clip(lo, hi float64) link {
	return l.by(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ops.Clip(x, lo, hi) })
}

func (l link) reshape(shape ...int) link {
	return l.by(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ops.Reshape(x, shape) })
}

func (l link) expand(shape ...int) link {
	return l.by(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ops.Expand(x, shape) })
}

func (l link) sum(axis int, keep bool) link {
	return l.by(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ops.ReduceSum(x, []int{axis}, keep) })
}

func (l link) top(axis int) link {
	return l.by(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ops.ReduceMax(x, []int{axis}, true) })
}

func (l link) logSumExp(axis int) link {
	return l.by(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ops.ReduceLogSumExp(x, []int{axis}, true) })
}

func (l link) softmax(axis int) link {
	return l.by(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ops.Softmax(x, axis) })
}

func (l link) logSoftmax(axis int) link {
	return l.by(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ops.LogSoftmax(x, axis) })
}
