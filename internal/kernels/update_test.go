package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
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

func TestEntropyInner(t *testing.T) { eachLevel(t, testEntropyInner) }

func testEntropyInner(t *testing.T) {
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

func TestEntropyOuter(t *testing.T) { eachLevel(t, testEntropyOuter) }

func testEntropyOuter(t *testing.T) {
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

func TestSGD(t *testing.T) { eachLevel(t, testSGD) }

func testSGD(t *testing.T) {
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

// Every level gives the bits of the loops in Go, in memory that ends where the vectors do, with zeros of both
// signs, infinities and NaN.
func TestUpdatesAtEveryLevel(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	special := []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 1e-42, 3e38}
	for range 200 {
		n, from := r.IntN(300), r.IntN(1000)
		start := vectors(5, n)
		for range n / 10 {
			start[r.IntN(5)][r.IntN(n)] = special[r.IntN(len(special))]
		}
		c := InnerStep{LR: 0.1, Gamma: 0.3, Momentum: 0.9, Decay: 0.01 * float32(r.IntN(2)), Alpha: 0.75, Keep: 0.25,
			Noise: 0.1 * float32(r.IntN(2)), Stream: rng.Stream{Seed: r.Uint64(), Purpose: rng.Noise, Eval: r.Uint64() >> 16}}
		momentum := 0.9 * float32(r.IntN(2))
		updates := map[string]func(v [][]float32){
			"EntropyInner": func(v [][]float32) { EntropyInner(v[0], v[1], v[2], v[3], v[4], from, c) },
			"EntropyOuter": func(v [][]float32) {
				if momentum == 0 {
					v[4] = nil
				}
				EntropyOuter(v[0], v[1], v[2], v[3], v[4], 0.7, momentum)
			},
			"SGD":      func(v [][]float32) { SGD(v[0], nil, v[1], 0.1, 0, c.Decay, false) },
			"Momentum": func(v [][]float32) { SGD(v[0], v[1], v[2], 0.1, 0.9, c.Decay, false) },
			"Nesterov": func(v [][]float32) { SGD(v[0], v[1], v[2], 0.1, 0.9, c.Decay, true) },
		}
		want := map[string][][]float32{}
		eachLevel(t, func(t *testing.T) {
			for name, update := range updates {
				v := make([][]float32, len(start))
				for i := range v {
					v[i] = guarded(t, start[i])
				}
				update(v)
				if want[name] == nil {
					for i := range v {
						want[name] = append(want[name], slices.Clone(v[i]))
					}
				}
				for i := range v {
					for j, got := range v[i] {
						w := want[name][i][j]
						if math.Float32bits(got) != math.Float32bits(w) && !(got != got && w != w) {
							t.Fatalf("%s of %d elements from %d: vector %d[%d] = %v, in Go %v", name, n, from, i, j, got, w)
						}
					}
				}
			}
		})
	}
}

// BenchmarkUpdates updates the weights of mnistfc, with the parts on two threads as the optimizers have them,
// and measures beside it how fast memory can be read and written with as many streams. Two sets of vectors in turns are
// more than a cache holds: in training, the gradient has used the caches in between.
func BenchmarkUpdates(b *testing.B) {
	const n, part = 1_870_858, 1 << 14
	sets := [2][][]float32{vectors(5, n), vectors(5, n)}
	v := sets[0]
	c := InnerStep{LR: 1e-9, Alpha: 0.75, Keep: 0.25}
	noisy := c
	noisy.Noise = 1e-9
	for _, u := range []struct {
		name  string
		bytes int // read and written an element
		pass  func(from, to int)
	}{
		// Three sums in place read five vectors and write three, as the inner step does.
		{"memory", 32, func(i, j int) {
			Add(v[0][i:j], v[0][i:j], v[3][i:j])
			Add(v[1][i:j], v[1][i:j], v[4][i:j])
			Add(v[2][i:j], v[2][i:j], v[3][i:j])
		}},
		{"inner", 32, func(i, j int) { EntropyInner(v[0][i:j], v[1][i:j], v[2][i:j], v[3][i:j], v[4][i:j], i, c) }},
		{"noisy", 32, func(i, j int) { EntropyInner(v[0][i:j], v[1][i:j], v[2][i:j], v[3][i:j], v[4][i:j], i, noisy) }},
		{"outer", 24, func(i, j int) { EntropyOuter(v[0][i:j], v[1][i:j], v[2][i:j], v[3][i:j], nil, 1e-9, 0) }},
		{"nesterov", 20, func(i, j int) { SGD(v[0][i:j], v[1][i:j], v[2][i:j], 1e-9, 0.9, 0, true) }},
	} {
		for _, threads := range []int{1, 2} {
			pool := parallel.New(threads)
			task := passes(func(p int) { u.pass(p*part, min((p+1)*part, n)) })
			b.Run(fmt.Sprintf("%s/threads=%d", u.name, threads), func(b *testing.B) {
				b.SetBytes(int64(n * u.bytes))
				for k := 0; b.Loop(); k++ {
					v = sets[k%2]
					pool.Run((n+part-1)/part, task)
				}
			})
		}
	}
}

type passes func(part int)

func (f passes) Part(_, part int) { f(part) }
