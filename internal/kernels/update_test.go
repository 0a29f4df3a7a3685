package kernels

import (
	"math"
	"slices"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// vectors returns k different vectors of n numbers in about [-3, 3].
func vectors(k, n int) [][]float32 {
	v := make([][]float32, k)
	for i := range v {
		v[i] = make([]float32, n)
		rng.Stream{Seed: 11, Purpose: rng.Init, Eval: uint64(i)}.Normals(v[i], 0)
	}
	return v
}

func near(t *testing.T, name string, i int, got float32, want float64) {
	t.Helper()
	if math.Abs(float64(got)-want) > 4e-6 { // some units in the last place of the largest numbers here
		t.Fatalf("%s[%d] = %v, want %v", name, i, got, want)
	}
}

func TestEntropyInner(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 257, 1000} {
		for _, noise := range []float32{0, 0.3} {
			const from = 13
			v := vectors(5, n)
			old := [5][]float32{}
			for i := range v {
				old[i] = slices.Clone(v[i])
			}
			s := rng.Stream{Seed: 3, Purpose: rng.Noise, Eval: 8}
			xi := make([]float32, n)
			s.Normals(xi, from)
			EntropyInner(v[0], v[1], v[2], v[3], v[4], from, InnerStep{
				LR: 0.25, Gamma: 0.5, Momentum: 0.875, Decay: 0.125, Alpha: 0.75, Keep: 0.25, Noise: noise, Stream: s})
			for i := range n {
				p, mu, vel, x, grad := float64(old[0][i]), float64(old[1][i]), float64(old[2][i]),
					float64(old[3][i]), float64(old[4][i])
				g := grad + p/8
				vel = vel*7/8 + g
				p += (-g-vel*7/8+(x-p)/2)/4 + float64(noise)*float64(xi[i])
				near(t, "v", i, v[2][i], vel)
				near(t, "p", i, v[0][i], p)
				near(t, "mu", i, v[1][i], (mu+3*p)/4)
			}
			if !slices.Equal(v[3], old[3]) || !slices.Equal(v[4], old[4]) {
				t.Fatal("x or the gradient was changed")
			}
		}
	}
}

func TestEntropyOuter(t *testing.T) {
	const n = 100
	for _, momentum := range []float64{0, 0.875} {
		v := vectors(5, n)
		old := vectors(5, n)
		if momentum == 0 {
			v[4] = nil
		}
		EntropyOuter(v[0], v[1], v[2], v[3], v[4], 0.5, float32(momentum))
		for i := range n {
			x, mu := float64(old[0][i]), float64(old[1][i])
			vel := momentum*float64(old[4][i]) + x - mu
			if momentum != 0 {
				near(t, "v", i, v[4][i], vel)
			}
			near(t, "x", i, v[0][i], x-(x-mu+momentum*vel)/2)
			if v[0][i] != v[1][i] || v[0][i] != v[2][i] || v[3][i] != 0 {
				t.Fatalf("element %d is not ready for the next outer step", i)
			}
		}
	}
}

func TestSGD(t *testing.T) {
	const n = 100
	for _, c := range []struct {
		momentum float64
		nesterov bool
	}{{0, false}, {0.875, false}, {0.875, true}} {
		v, old := vectors(3, n), vectors(3, n)
		if c.momentum == 0 {
			v[1] = nil
		}
		SGD(v[0], v[1], v[2], 0.25, float32(c.momentum), 0.125, c.nesterov)
		for i := range n {
			x, vel := float64(old[0][i]), float64(old[1][i])
			g := float64(old[2][i]) + x/8
			vel = c.momentum*vel + g
			switch {
			case c.momentum == 0:
				near(t, "x", i, v[0][i], x-g/4)
				continue
			case c.nesterov:
				near(t, "x", i, v[0][i], x-(g+c.momentum*vel)/4)
			default:
				near(t, "x", i, v[0][i], x-vel/4)
			}
			near(t, "v", i, v[1][i], vel)
		}
	}
}

func BenchmarkEntropyInner(b *testing.B) {
	const n = 1 << 17 // about the weights of LeNet
	v := vectors(5, n)
	for _, c := range []struct {
		name  string
		noise float32
	}{{"quiet", 0}, {"noise", 1e-9}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				EntropyInner(v[0], v[1], v[2], v[3], v[4], 0, InnerStep{LR: 1e-9, Alpha: 0.75, Keep: 0.25, Noise: c.noise})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/element")
		})
	}
}
