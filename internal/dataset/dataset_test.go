package dataset

import (
	"math"
	"strings"
	"testing"
)

// twoColours is three samples of two channels with two pixels each.
func twoColours() *Set {
	return &Set{
		Name:   "x, y",
		Shape:  []int{2, 1, 2},
		Bytes:  []byte{0, 1, 2, 3, 10, 11, 12, 13, 252, 253, 254, 255},
		Labels: []int64{7, 8, 9}, Classes: 10,
	}
}

func TestFill(t *testing.T) {
	idx := []int{2, 0, 2}
	for _, c := range []struct {
		name string
		t    Transform
		of   func(v float64, channel int) float64
	}{
		{"default", Transform{}, func(v float64, _ int) float64 { return v / 255 }},
		{"raw", Transform{Scale: 1}, func(v float64, _ int) float64 { return v }},
		{"one", Transform{Mean: []float64{0.1307}, Std: []float64{0.3081}}, func(v float64, _ int) float64 { return (v/255 - 0.1307) / 0.3081 }},
		{"channels", Transform{Scale: 0.5, Mean: []float64{1, -2}, Std: []float64{4, 0.1}}, func(v float64, c int) float64 {
			return []float64{(v/2 - 1) / 4, (v/2 + 2) / 0.1}[c]
		}},
		{"mixed", Transform{Scale: 1, Std: []float64{3, 7}}, func(v float64, c int) float64 { return v / []float64{3, 7}[c] }},
	} {
		for _, kind := range []string{"table", "bytes", "floats"} {
			t.Run(c.name+"/"+kind, func(t *testing.T) {
				s := twoColours()
				raw := s.Bytes
				tr := c.t
				if kind == "floats" {
					s.Bytes = nil
					for _, v := range raw {
						s.Floats = append(s.Floats, float32(v))
					}
					if tr.Scale == 0 {
						tr.Scale = 1.0 / 255
					}
				}
				if err := s.Use(tr); err != nil {
					t.Fatal(err)
				}
				if kind == "bytes" {
					s.table = nil
				}
				x, y := make([]float32, 12), make([]int64, 3)
				if err := s.Fill(x, y, idx); err != nil {
					t.Fatal(err)
				}
				for k, i := range idx {
					if y[k] != s.Labels[i] {
						t.Errorf("label %d is %d, want %d", k, y[k], s.Labels[i])
					}
					for e := range 4 {
						// One rounding to float32 of a float64 that may differ in its last bits.
						want := c.of(float64(raw[4*i+e]), e/2)
						if got := float64(x[4*k+e]); math.Abs(got-want) > 1e-7*math.Abs(want)+1e-9 {
							t.Errorf("sample %d value %d is %g, want %g", i, e, got, want)
						}
					}
				}
			})
		}
	}
}

func TestFillFloatsByDefault(t *testing.T) {
	s := &Set{Name: "x", Shape: []int{2}, Floats: []float32{1, -2.5, 3e20, 4}}
	x := make([]float32, 2)
	if err := s.Fill(x, nil, []int{1}); err != nil || x[0] != 3e20 || x[1] != 4 {
		t.Errorf("got %v, %v", x, err)
	}
	if s.Transform().Scale != 1 || twoColours().Transform().Scale != 1.0/255 {
		t.Error("the default scale is 1 for floats and 1/255 for bytes")
	}
}

func TestFillErrors(t *testing.T) {
	s := twoColours()
	bare := &Set{Name: "x", Shape: []int{2}, Floats: []float32{1, 2}}
	x, y := make([]float32, 4), make([]int64, 1)
	for _, c := range []struct {
		err  error
		want string
	}{
		{s.Fill(x, y, []int{3}), "dataset: x, y: sample 3 is not among the 3"},
		{s.Fill(x, y, []int{-1}), "dataset: x, y: sample -1 is not among the 3"},
		{s.Fill(x[:3], y, []int{0}), "dataset: x, y: 1 samples of shape [2 1 2] don't fill 3 values"},
		{s.Fill(x, make([]int64, 2), []int{0}), "dataset: x, y: 1 samples of label shape [] don't fill 2 labels"},
		{bare.Fill(x[:2], y, []int{0}), "dataset: x: has no labels"},
		{bare.FillTargets(x, []int{0}), "dataset: x: has no target values"},
		{s.Use(Transform{Mean: []float64{1, 2, 3}}), "dataset: x, y: 3 values of mean for samples of shape [2 1 2]; give one or 2"},
		{s.Use(Transform{Std: []float64{0}}), "dataset: x, y: std is 0; it must be positive"},
		{s.Use(Transform{Scale: math.NaN()}), "dataset: x, y: scale is NaN, not a finite number"},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", c.err, c.want)
		}
	}
}

func TestFillTargets(t *testing.T) {
	s := &Set{Name: "x, y", Shape: []int{1}, Floats: []float32{1, 2, 3},
		Targets: []float32{1, 2, 3, 4, 5, 6}, TargetShape: []int{2}}
	got := make([]float32, 4)
	if err := s.FillTargets(got, []int{2, 0}); err != nil || got[0] != 5 || got[1] != 6 || got[2] != 1 || got[3] != 2 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestNoAllocation(t *testing.T) {
	s := twoColours()
	if err := s.Use(Transform{}); err != nil {
		t.Fatal(err)
	}
	sampler, err := NewShuffle(3, 2, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	x, y, k := make([]float32, 8), make([]int64, 2), uint64(0)
	if n := testing.AllocsPerRun(100, func() {
		idx := sampler.Batch(k)
		if err := s.Fill(x[:4*len(idx)], y[:len(idx)], idx); err != nil {
			t.Fatal(err)
		}
		k++
	}); n != 0 {
		t.Errorf("a batch takes %g allocations", n)
	}
}

func TestWriteCSV(t *testing.T) {
	var b strings.Builder
	if err := WriteCSV(&b, []string{"a", "b,c"}, []float32{0.1, -2, 1e-30, 16777216}); err != nil {
		t.Fatal(err)
	}
	if want := "a,\"b,c\"\n0.1,-2\n1e-30,1.6777216e+07\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	if err := WriteCSV(&b, []string{"a", "b"}, make([]float32, 3)); err == nil {
		t.Error("3 values made rows of 2")
	}
}
