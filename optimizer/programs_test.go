package optimizer

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
)

func readRecord(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

// The record is made by testdata/entropy_programs.py, in float64.
func TestEntropySGDFollowsThePrograms(t *testing.T) {
	var record struct {
		Start []float64
		Cases []struct {
			Program              string
			L                    int
			LR, Alpha            float64
			InnerLR              float64 `json:"inner_lr"`
			Gamma, Scoping       float64
			Momentum             float64
			OuterMomentum, Decay float64
			Outer                float64 `json:"outer_momentum"`
			Trajectory           [][]float64
		}
	}
	readRecord(t, "testdata/entropy_programs.json", &record)
	start := make([]float32, len(record.Start))
	for i, x := range record.Start {
		start[i] = float32(x)
	}
	worst := map[string]float64{}
	for _, c := range record.Cases {
		m := &EntropySGD{L: c.L, LR: c.LR, InnerLR: c.InnerLR, Alpha: c.Alpha, Gamma: c.Gamma, Scoping: c.Scoping, Momentum: c.Momentum,
			WeightDecay: c.Decay}
		switch c.Program {
		case "paper":
			m.OuterGamma, m.Momentum, m.WeightDecay = true, 0, 0
		case "lua":
			m.Compat = Lua
		case "torch":
			m.Compat, m.Scoping, m.OuterMomentum = Torch, 0, c.Outer
		}
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
		s := m.Init(start, nil)
		for k, want := range c.Trajectory {
			advance(m, s, m.OuterEvals())
			for i, got := range m.Params(s) {
				d := math.Abs(float64(got) - want[i])
				worst[c.Program] = max(worst[c.Program], d)
				if d > 1e-5 {
					t.Errorf("%s, L %d, outer step %d: weight %d is %v, want %v", c.Program, c.L, k+1, i, got, want[i])
				}
			}
		}
	}
	if len(worst) != 3 {
		t.Errorf("programs in the record: %v", worst)
	}
	t.Logf("largest distances %v", worst)
}

// The record is made by testdata/adam_torch.py.
func TestAdamEqualsTorch(t *testing.T) {
	var record struct {
		Start []float32
		Grads [][]float32
		Cases []struct {
			LR          float64
			Betas       [2]float64
			Eps         float64
			WeightDecay float64 `json:"weight_decay"`
			Decoupled   bool
			Trajectory  [][]float32
		}
	}
	readRecord(t, "testdata/adam_torch.json", &record)
	n := len(record.Start)
	groups := []Group{{From: 0, To: n / 2, LRScale: 1, Decay: true}, {From: n / 2, To: n, LRScale: 1}}
	var worst float64
	for _, c := range record.Cases {
		m := &Adam{LR: c.LR, Beta1: c.Betas[0], Beta2: c.Betas[1], Epsilon: c.Eps, WeightDecay: c.WeightDecay, Decoupled: c.Decoupled}
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
		s := m.Init(record.Start, groups)
		for k, want := range c.Trajectory {
			m.Tell(s, []Result{{Grad: slices.Clone(record.Grads[k])}})
			for i, got := range m.Params(s) {
				d := math.Abs(float64(got) - float64(want[i]))
				worst = max(worst, d)
				if d > 2e-6 { // the weights are about 1
					t.Errorf("lr %v, decay %v: after step %d weight %d is %v, torch has %v", c.LR, c.WeightDecay, k+1, i, got, want[i])
				}
			}
		}
	}
	if len(record.Cases) < 4 || len(record.Grads) < 20 {
		t.Errorf("%d cases of %d steps in the record", len(record.Cases), len(record.Grads))
	}
	t.Logf("largest distance %.1e", worst)
}

// Adam's nested loops, bit for bit.
func TestAdamEqualsNestedLoops(t *testing.T) {
	const n, steps = part + 77, 12
	m := &Adam{LR: 0.02, Beta1: 0.8, Beta2: 0.97, Epsilon: 1e-7, WeightDecay: 0.1, Decoupled: true, Schedule: Linear, Total: 20}
	s := m.Init(weights(n), nil)
	advance(m, s, steps)
	for i, x := range weights(n) {
		var first, second float32
		for k := range steps {
			lr := m.LR * (1 - float64(k)/20)
			g := slope(i, x, uint64(k))
			first = float32(0.8*first) + float32(float32(1-m.Beta1)*g)
			second = float32(0.97*second) + float32(float32(float32(1-m.Beta2)*g)*g)
			c1, c2 := 1-math.Pow(m.Beta1, float64(k+1)), 1-math.Pow(m.Beta2, float64(k+1))
			root := float32(math.Sqrt(float64(second)))
			step := float32(float32(lr/c1)*first) / (float32(float32(1/math.Sqrt(c2))*root) + 1e-7)
			x = float32(float32(1-lr*m.WeightDecay)*x) - step
		}
		if got := m.Params(s)[i]; got != x {
			t.Fatalf("weight %d is %v, want %v", i, got, x)
		}
	}
}
