package solver_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/optimizer/solver"
)

// pair is a value with a gradient, and a name for errors.
type pair struct {
	name        string
	value, grad gorgonia.Value
}

func (p *pair) Value() gorgonia.Value         { return p.value }
func (p *pair) Grad() (gorgonia.Value, error) { return p.grad, nil }
func (p *pair) Name() string                  { return p.name }

func dense[T any](x ...T) *tensor.Dense {
	return tensor.New(tensor.WithShape(len(x)/2, 2), tensor.WithBacking(x))
}

// mixed has a value of every kind: seven weights.
func mixed() []gorgonia.ValueGrad {
	return []gorgonia.ValueGrad{
		&pair{"a", dense[float32](1, -2), dense[float32](0, 0)},
		&pair{"b", gorgonia.NewF32(3), gorgonia.NewF32(0)},
		&pair{"c", dense(0.5, 1.25), dense(0., 0.)},
		&pair{"d", gorgonia.NewF64(-4), gorgonia.NewF64(0)},
		&pair{"e", tensor.New(tensor.FromScalar(float32(7))), tensor.New(tensor.FromScalar(float32(0)))},
	}
}

func flat(t *testing.T, model []gorgonia.ValueGrad) (x []float32) {
	for _, vg := range model {
		switch v := vg.Value().(type) {
		case *gorgonia.F32:
			x = append(x, float32(*v))
		case *gorgonia.F64:
			x = append(x, float32(*v))
		case *tensor.Dense:
			switch d := v.Data().(type) {
			case []float32:
				x = append(x, d...)
			case []float64:
				x = append(x, float32(d[0]), float32(d[1]))
			case float32:
				x = append(x, d)
			}
		}
	}
	return x
}

// setGrads sets each gradient to half its weight plus k, and checks that it was 0.
func setGrads(t *testing.T, model []gorgonia.ValueGrad, k int) {
	set := func(old, x float64) float64 {
		if old != 0 {
			t.Fatalf("a gradient is %v before it is made", old)
		}
		return x/2 + float64(k)
	}
	for _, vg := range model {
		g, _ := vg.Grad()
		switch v := vg.Value().(type) {
		case *gorgonia.F32:
			*g.(*gorgonia.F32) = gorgonia.F32(set(float64(*g.(*gorgonia.F32)), float64(*v)))
		case *gorgonia.F64:
			*g.(*gorgonia.F64) = gorgonia.F64(set(float64(*g.(*gorgonia.F64)), float64(*v)))
		case *tensor.Dense:
			g := g.(*tensor.Dense)
			if v.Dtype() == tensor.Float64 {
				for i, x := range v.Float64s() {
					g.Float64s()[i] = set(g.Float64s()[i], x)
				}
				continue
			}
			for i, x := range v.Float32s() {
				g.Float32s()[i] = float32(set(float64(g.Float32s()[i]), float64(x)))
			}
		}
	}
}

func entropy() *optimizer.EntropySGD {
	m := optimizer.DefaultEntropySGD()
	m.L, m.WeightDecay, m.Seed = 3, 0.1, 5
	return m
}

// The solver gives the bits of the method that it drives, for all kinds of values in one model.
func TestSolverIsTheMethod(t *testing.T) {
	model := mixed()
	start := flat(t, model)
	s, m := solver.New(entropy()), entropy()
	state := m.Init(start, []optimizer.Group{ // decay for more than one dimension
		{From: 0, To: 2, LRScale: 1, Decay: true}, {From: 2, To: 3, LRScale: 1},
		{From: 3, To: 5, LRScale: 1, Decay: true}, {From: 5, To: 7, LRScale: 1}})
	for k := range 8 {
		point := m.Ask(state, nil)[0].Point
		if !slices.Equal(flat(t, model), point) {
			t.Fatalf("step %d: the nodes hold %v, want %v", k, flat(t, model), point)
		}
		grad := make([]float32, len(point))
		for i, x := range point {
			grad[i] = x/2 + float32(k)
		}
		m.Tell(state, []optimizer.Result{{Grad: grad}})
		setGrads(t, model, k)
		if err := s.Step(model); err != nil {
			t.Fatal(err)
		}
		if k == 4 { // a look between
			if err := s.Finish(); err != nil || !slices.Equal(flat(t, model), m.Params(state)) {
				t.Fatalf("Finish: %v, %v", flat(t, model), err)
			}
			if err := s.Step(model); err == nil || !strings.Contains(err.Error(), "Continue") {
				t.Fatalf("Step after Finish: %v", err)
			}
			if err := s.Continue(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Finish(); err != nil || !slices.Equal(flat(t, model), m.Params(state)) {
		t.Fatalf("Finish: %v, want %v, %v", flat(t, model), m.Params(state), err)
	}
}

// Plain SGD against the solver of Gorgonia on least squares, float32 and float64.
func TestSolverAgainstVanilla(t *testing.T) {
	train := func(of tensor.Dtype, s gorgonia.Solver, x, y, start any) []float64 {
		g := gorgonia.NewGraph()
		vector := func(name string, v any, n int) *gorgonia.Node {
			return gorgonia.NewVector(g, of, gorgonia.WithName(name), gorgonia.WithShape(n),
				gorgonia.WithValue(tensor.New(tensor.WithShape(n), tensor.WithBacking(v))))
		}
		w := vector("w", start, 3)
		d := gorgonia.Must(gorgonia.Sub(gorgonia.Must(gorgonia.HadamardProd(vector("x", x, 3), w)), vector("y", y, 3)))
		loss := gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.Square(d))))
		if _, err := gorgonia.Grad(loss, w); err != nil {
			t.Fatal(err)
		}
		machine := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(w))
		defer machine.Close()
		for range 30 {
			if err := machine.RunAll(); err != nil {
				t.Fatal(err)
			}
			if err := s.Step([]gorgonia.ValueGrad{w}); err != nil {
				t.Fatal(err)
			}
			machine.Reset()
		}
		var got []float64
		switch d := w.Value().Data().(type) {
		case []float32:
			for _, v := range d {
				got = append(got, float64(v))
			}
		case []float64:
			got = d
		}
		return got
	}
	for _, of := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		run := func(s gorgonia.Solver) []float64 {
			if of == tensor.Float32 {
				return train(of, s, []float32{1, 2, -1}, []float32{3, 1, 2}, []float32{0.1, 0.2, 0.3})
			}
			return train(of, s, []float64{1, 2, -1}, []float64{3, 1, 2}, []float64{0.1, 0.2, 0.3})
		}
		want := run(gorgonia.NewVanillaSolver(gorgonia.WithLearnRate(0.05)))
		got := run(solver.New(&optimizer.SGD{LR: 0.05}))
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-6 { // the weights are float32 numbers of about 1
				t.Errorf("%v: weight %d is %v, Gorgonia has %v", of, i, got[i], want[i])
			}
		}
	}
}

// twins is a method that asks for two gradients at once and moves by their mean.
type twins struct{ optimizer.SGD }

func (m *twins) Ask(s *optimizer.State, q []optimizer.Query) []optimizer.Query {
	one := m.SGD.Ask(s, nil)[0]
	two := one
	two.Point = slices.Clone(one.Point)
	two.Point[0]++
	return append(q, one, two)
}

func (m *twins) Tell(s *optimizer.State, r []optimizer.Result) bool {
	for i := range r[0].Grad {
		r[0].Grad[i] = (r[0].Grad[i] + r[1].Grad[i]) / 2
	}
	return m.SGD.Tell(s, r[:1])
}

func TestSolverAnswersQueriesInTurn(t *testing.T) {
	v, g := gorgonia.NewF32(2), gorgonia.NewF32(0)
	model := []gorgonia.ValueGrad{&pair{"w", v, g}}
	s := solver.New(&twins{optimizer.SGD{LR: 0.5}})
	step := func(grad, want float32) {
		t.Helper()
		*g = gorgonia.F32(grad)
		if err := s.Step(model); err != nil || float32(*v) != want {
			t.Fatalf("the node holds %v, want %v, %v", *v, want, err)
		}
	}
	step(1, 3)  // the second query is at 2+1
	step(3, 1)  // 2 - 0.5 (1+3)/2
	step(-1, 2) // 1+1
}

// A gradient or a loss that is not finite is refused, and the training goes on as if its mini-batch had not been.
func TestSolverNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		var weights [2][]float32
		for run := range weights {
			model := mixed()
			loss := 1.0
			s := solver.New(entropy())
			s.Loss = func() float64 { return loss }
			for k := range 8 {
				setGrads(t, model, k)
				if run == 1 && k == 4 {
					before := flat(t, model)
					g, _ := model[3].Grad()
					*g.(*gorgonia.F64) = gorgonia.F64(bad)
					if err := s.Step(model); !errors.Is(err, solver.ErrNotFinite) || !strings.Contains(err.Error(), `node "d": the gradient`) {
						t.Fatalf("gradient %v: %v", bad, err)
					}
					setGrads(t, model, k)
					loss = bad
					if err := s.Step(model); !errors.Is(err, solver.ErrNotFinite) || !strings.Contains(err.Error(), "the loss") {
						t.Fatalf("loss %v: %v", bad, err)
					}
					loss = 1
					if !slices.Equal(flat(t, model), before) {
						t.Fatalf("%v: the weights have changed", bad)
					}
					setGrads(t, model, k)
				}
				if err := s.Step(model); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Finish(); err != nil {
				t.Fatal(err)
			}
			weights[run] = flat(t, model)
		}
		if !slices.Equal(weights[0], weights[1]) {
			t.Errorf("%v: the weights are %v, without it %v", bad, weights[1], weights[0])
		}
	}
}

func TestSolverErrors(t *testing.T) {
	wide := tensor.New(tensor.WithShape(2, 4), tensor.WithBacking(make([]float32, 8)))
	view, err := wide.Slice(nil, tensor.S(0, 2))
	if err != nil {
		t.Fatal(err)
	}
	good := func() gorgonia.Value { return dense[float32](1, 2) }
	for _, c := range []struct {
		value, grad gorgonia.Value
		want        string
	}{
		{nil, good(), `node "w" has no value`},
		{good(), nil, `node "w": gradient: there is no value`},
		{dense(1, 2), good(), "int"},
		{gorgonia.NewI(1), good(), "*gorgonia.I"},
		{good(), dense[float32](1, 2, 3, 4), "4 elements instead of 2"},
		{view.(*tensor.Dense), good(), "view"},
	} {
		err := solver.New(entropy()).Step([]gorgonia.ValueGrad{&pair{"w", c.value, c.grad}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if err := solver.New(&optimizer.EntropySGD{}).Step(mixed()); err == nil || !strings.Contains(err.Error(), "InnerLR") {
		t.Errorf("settings: %v", err)
	}
	s := solver.New(entropy())
	if err := s.Finish(); err != nil {
		t.Errorf("Finish before Step: %v", err)
	}
	if err := s.Step(mixed()); err != nil {
		t.Fatal(err)
	}
	if err := s.Step(mixed()[1:]); err == nil || !strings.Contains(err.Error(), "4 nodes") {
		t.Errorf("other nodes: %v", err)
	}
}

// Every method gives through a solver, which answers its queries one by one, the bits that it gives alone.
func TestEveryMethodSolves(t *testing.T) {
	sgd := func() optimizer.Settled { return &optimizer.SGD{LR: 0.1, Momentum: 0.5} }
	for name, method := range map[string]func() optimizer.Settled{
		"adam":         func() optimizer.Settled { return optimizer.DefaultAdam() },
		"entropy-adam": func() optimizer.Settled { return optimizer.DefaultEntropyAdam() },
		"torch": func() optimizer.Settled {
			m := entropy()
			m.Compat, m.Scoping = optimizer.Torch, 0
			return m
		},
		"parle":      func() optimizer.Settled { return optimizer.DefaultParle() },
		"sam":        func() optimizer.Settled { return optimizer.DefaultSAM(sgd()) },
		"lookahead":  func() optimizer.Settled { return optimizer.DefaultLookahead(sgd()) },
		"accumulate": func() optimizer.Settled { return &optimizer.Accumulate{Base: sgd(), K: 3} },
		"swa":        func() optimizer.Settled { return &optimizer.SWA{Base: sgd(), Start: 0.2, Every: 1, Total: 20} },
		"clip":       func() optimizer.Settled { return &optimizer.Clip{Base: sgd(), Norm: 1} },
	} {
		model := []gorgonia.ValueGrad{&pair{"w", dense[float32](1, -2, 3, -4), dense[float32](0, 0, 0, 0)}}
		s, m := solver.New(method()), method()
		state := m.Init(flat(t, model), nil)
		for state.Evals < 60 {
			q := m.Ask(state, nil)
			r := make([]optimizer.Result, len(q))
			for i := range q {
				if s.Next() != q[i].At {
					t.Fatalf("%s: the next gradient is of %+v, want %+v", name, s.Next(), q[i].At)
				}
				if !slices.Equal(flat(t, model), q[i].Point) {
					t.Fatalf("%s: the nodes hold %v, want %v", name, flat(t, model), q[i].Point)
				}
				k := int(q[i].At.Batch)
				for _, x := range q[i].Point {
					r[i].Grad = append(r[i].Grad, x/2+float32(k))
				}
				setGrads(t, model, k)
				if i+1 < len(q) {
					if err := s.Step(model); err != nil {
						t.Fatal(err)
					}
				}
			}
			m.Tell(state, r)
			if err := s.Step(model); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Finish(); err != nil || !slices.Equal(flat(t, model), m.Params(state)) {
			t.Errorf("%s: %v, want %v, %v", name, flat(t, model), m.Params(state), err)
		}
	}
	auto := entropy()
	auto.AutoGamma, auto.Gamma = true, 0
	model := mixed()
	s := solver.New(auto)
	s.Loss = func() float64 { return 1000 }
	for k := range 6 {
		setGrads(t, model, k)
		if err := s.Step(model); err != nil {
			t.Fatal(err)
		}
	}
	if gamma := auto.Stats(s.State()).Gamma; !(gamma > 1) { // the loss is large, and where it goes near
		t.Errorf("gamma is %v", gamma)
	}
	err := solver.New(&optimizer.Clip{Base: auto, Norm: 1}).Step(mixed())
	if err == nil || !strings.Contains(err.Error(), "AutoGamma") {
		t.Errorf("a method that needs the loss: %v", err)
	}
}

// A run whose state was kept in a file goes on with the same bits, wherever it was stopped.
func TestResume(t *testing.T) {
	for name, method := range map[string]func() optimizer.Settled{
		"entropy": func() optimizer.Settled { return entropy() },
		"sam":     func() optimizer.Settled { return optimizer.DefaultSAM(optimizer.DefaultSGD()) },
		"parle":   func() optimizer.Settled { return optimizer.DefaultParle() },
	} {
		steps := func(s *solver.Solver, model []gorgonia.ValueGrad, n int) {
			for range n {
				setGrads(t, model, int(s.Next().Batch))
				if err := s.Step(model); err != nil {
					t.Fatal(err)
				}
			}
		}
		whole := mixed()
		s := solver.New(method())
		steps(s, whole, 12)
		if err := s.Resume(whole, s.State()); err == nil || !strings.Contains(err.Error(), "new Solver") {
			t.Errorf("Resume after Step: %v", err)
		}
		for cut := 1; cut < 12; cut++ {
			before := solver.New(method())
			steps(before, mixed(), cut)
			var b bytes.Buffer
			if err := gob.NewEncoder(&b).Encode(before.State()); err != nil {
				t.Fatal(err)
			}
			var state optimizer.State
			if err := gob.NewDecoder(&b).Decode(&state); err != nil {
				t.Fatal(err)
			}
			model, after := mixed(), solver.New(method())
			if err := after.Resume(model, &state); err != nil {
				t.Fatal(err)
			}
			steps(after, model, 12-int(state.Evals))
			if !slices.Equal(flat(t, model), flat(t, whole)) {
				t.Errorf("%s, stopped after %d gradients: %v, want %v", name, cut, flat(t, model), flat(t, whole))
			}
		}
		if err := solver.New(method()).Resume(mixed()[1:], s.State()); err == nil {
			t.Errorf("%s: a state of other nodes passes", name)
		}
		swapped := mixed()
		swapped[0], swapped[1] = swapped[1], swapped[0]
		if err := solver.New(method()).Resume(swapped, s.State()); err == nil || !strings.Contains(err.Error(), "other sizes") {
			t.Errorf("%s: a state of nodes in another order: %v", name, err)
		}
		if err := solver.New(optimizer.DefaultAdam()).Resume(mixed(), s.State()); err == nil {
			t.Errorf("%s: the state of another method passes", name)
		}
	}
}
