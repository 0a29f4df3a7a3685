package optimizer

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
)

// The record is made by testdata/sgd_torch.py.
func TestSGDEqualsTorch(t *testing.T) {
	type settings struct {
		LR, Momentum float64
		Nesterov     bool
		WeightDecay  float64 `json:"weight_decay"`
	}
	var record struct {
		Start []float32
		Grads [][]float32
		Cases []struct {
			settings
			Trajectory [][]float32
		}
	}
	b, err := os.ReadFile("testdata/sgd_torch.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &record); err != nil {
		t.Fatal(err)
	}
	n := len(record.Start)
	groups := []Group{{From: 0, To: n / 2, LRScale: 1, Decay: true}, {From: n / 2, To: n, LRScale: 1}}
	var worst float64
	for _, c := range record.Cases {
		m := &SGD{LR: c.LR, Momentum: c.Momentum, Nesterov: c.Nesterov, WeightDecay: c.WeightDecay}
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
		s := m.Init(record.Start, groups)
		for k, want := range c.Trajectory {
			m.Tell(s, []Result{{Grad: slices.Clone(record.Grads[k])}})
			// Of the vector's length: a weight that passes 0 keeps the rounding of when it was larger.
			var distance, length float64
			for i, got := range m.Params(s) {
				distance = math.Hypot(distance, float64(got)-float64(want[i]))
				length = math.Hypot(length, float64(want[i]))
			}
			worst = max(worst, distance/length)
			if distance > 1e-6*length {
				t.Errorf("%+v: after step %d the weights are %v, torch has %v", c.settings, k, m.Params(s), want)
			}
		}
	}
	t.Logf("largest relative distance %.1e", worst)
}

func TestSGDAnnealsEachStep(t *testing.T) {
	m := &SGD{LR: 1, Schedule: Cosine, Total: 4}
	s := m.Init([]float32{0}, nil)
	var x float64
	for k := range 6 {
		m.Tell(s, []Result{{Grad: []float32{-1}}})
		x += (1 + math.Cos(math.Pi*min(float64(k)/4, 1))) / 2
		if got := float64(m.Params(s)[0]); math.Abs(got-x) > 1e-6 {
			t.Fatalf("after step %d x is %v, want %v", k, got, x)
		}
	}
}
