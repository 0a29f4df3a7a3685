package kernels

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// adam64 is a step of Adam in float64, without decay.
func adam64(c AdamStep, m, v, g float64) (first, second, step float64) {
	first = float64(c.Beta1)*m + float64(c.New1)*g
	second = float64(c.Beta2)*v + float64(c.New2)*g*g
	return first, second, float64(c.LR) * first / (float64(c.Root)*math.Sqrt(second) + float64(c.Epsilon))
}

var testAdam = AdamStep{LR: 0.25, Root: 1.5, Beta1: 0.75, New1: 0.25, Beta2: 0.875, New2: 0.125, Epsilon: 0.01, Shrink: 1}

// positive makes a vector one of squares.
func positive(v []float32) {
	for i := range v {
		v[i] *= v[i]
	}
}

func TestAdam(t *testing.T) {
	const n = 300
	for _, c := range []struct{ decay, shrink float32 }{{0, 1}, {0.125, 1}, {0, 0.875}} {
		v, old := vectors(4, n), vectors(4, n)
		positive(v[2])
		positive(old[2])
		a := testAdam
		a.Decay, a.Shrink = c.decay, c.shrink
		Adam(v[0], v[1], v[2], v[3], a)
		for i := range n {
			x := float64(old[0][i])
			first, second, step := adam64(a, float64(old[1][i]), float64(old[2][i]), float64(old[3][i])+float64(c.decay)*x)
			near(t, "m", i, v[1][i], first)
			near(t, "v", i, v[2][i], second)
			near(t, "x", i, v[0][i], float64(c.shrink)*x-step)
		}
		if !slices.Equal(v[3], old[3]) {
			t.Error("the gradient was changed")
		}
	}
}

func TestRareInnerSteps(t *testing.T) {
	const n, from, late = 700, 9, 0.0625
	s := rng.Stream{Seed: 3, Purpose: rng.Noise, Eval: 8}
	xi := make([]float32, n)
	s.Normals(xi, from)
	c := InnerStep{LR: 0.25, Gamma: 0.5, Momentum: 0.875, Decay: 0.125, Alpha: 0.75, Keep: 0.25, Noise: 0.3, Stream: s}
	for _, adam := range []bool{false, true} {
		v, old := vectors(6, n), vectors(6, n) // p, mu, first moment or velocity, x, gradient, second moment
		positive(v[5])
		positive(old[5])
		if adam {
			EntropyInnerAdam(v[0], v[1], v[2], v[5], v[3], v[4], from, late, c, testAdam)
		} else {
			EntropyInnerLate(v[0], v[1], v[2], v[3], v[4], from, late, c)
		}
		for i := range n {
			p, mu, vel, x := float64(old[0][i]), float64(old[1][i]), float64(old[2][i]), float64(old[3][i])
			g := float64(old[4][i]) + p/8
			var step float64
			if adam {
				var second float64
				vel, second, step = adam64(testAdam, vel, float64(old[5][i]), g)
				near(t, "second", i, v[5][i], second)
			} else {
				vel = vel*7/8 + g
				step = (g + vel*7/8) / 4
			}
			p += -step - (p/16-(x-p)/2)/4 + 0.3*float64(xi[i])
			near(t, "v", i, v[2][i], vel)
			near(t, "p", i, v[0][i], p)
			near(t, "mu", i, v[1][i], (mu+3*p)/4)
		}
	}
}

func TestRareOuterSteps(t *testing.T) {
	const n, from = 700, 9
	s := rng.Stream{Seed: 3, Purpose: rng.Outer, Eval: 8}
	xi := make([]float32, n)
	s.Normals(xi, from)
	for _, kind := range []string{"plain", "momentum", "adam"} {
		c := OuterStep{LR: 0.5, Scale: 0.75, Decay: 0.125, Noise: 0.2, Stream: s}
		v, old := vectors(6, n), vectors(6, n) // x, mu, p, inner, first moment or velocity, second moment
		positive(v[5])
		positive(old[5])
		switch kind {
		case "plain":
			EntropyOuterGeneral(v[0], v[1], v[2], v[3], nil, from, c)
		case "momentum":
			c.Momentum = 0.875
			EntropyOuterGeneral(v[0], v[1], v[2], v[3], v[4], from, c)
		case "adam":
			EntropyOuterAdam(v[0], v[1], v[2], v[3], v[4], v[5], from, c, testAdam)
		}
		for i := range n {
			x, mu, vel := float64(old[0][i]), float64(old[1][i]), float64(old[4][i])
			d := 0.75*(x-mu) + x/8
			step := d / 2
			switch kind {
			case "momentum":
				vel = vel*7/8 + d
				step = (d + vel*7/8) / 2
			case "adam":
				vel, _, step = adam64(testAdam, vel, float64(old[5][i]), d)
			}
			near(t, kind+" v", i, v[4][i], vel)
			near(t, kind+" x", i, v[0][i], x-step+0.2*float64(xi[i]))
			if v[0][i] != v[1][i] || v[0][i] != v[2][i] || v[3][i] != 0 {
				t.Fatalf("element %d is not ready for the next outer step", i)
			}
		}
	}
}

func TestParle(t *testing.T) {
	const n = 300
	for _, m := range []float64{0, 0.875} {
		v, old := vectors(5, n), vectors(5, n) // y, z, v, x, gradient
		if m == 0 {
			v[2] = nil
		}
		ParleInner(v[0], v[1], v[2], v[3], v[4], ParleStep{LR: 0.25, Gamma: 0.5, Momentum: float32(m), Decay: 0.125, Alpha: 0.75, Keep: 0.25})
		for i := range n {
			y := float64(old[0][i])
			g := float64(old[4][i]) + y/8 + (y-float64(old[3][i]))/2
			vel := m*float64(old[2][i]) + g
			y -= (g + m*vel) / 4
			near(t, "y", i, v[0][i], y)
			near(t, "z", i, v[1][i], (float64(old[1][i])+3*y)/4)
			if m != 0 {
				near(t, "v", i, v[2][i], vel)
			}
		}
		v = vectors(5, n) // x, y, z, v, mean
		if m == 0 {
			v[3] = nil
		}
		ParleOuter(v[0], v[1], v[2], v[3], v[4], 0.5, 0.25, float32(m))
		for i := range n {
			x := float64(old[0][i])
			d := x - float64(old[2][i]) + (x-float64(old[4][i]))/4
			near(t, "x", i, v[0][i], x-(d+m*(m*float64(old[3][i])+d))/2)
			if v[0][i] != v[1][i] || v[0][i] != v[2][i] {
				t.Fatalf("element %d is not ready for the next outer step", i)
			}
		}
	}
}

func TestMeansAndSums(t *testing.T) {
	for _, n := range []int{0, 1, 5, 103} {
		v, old := vectors(3, n), vectors(3, n)
		Lerp(v[0], v[1], 0.25)
		AddScaled(v[1], v[2], 0.5)
		Along(v[2], old[0], old[1], 2)
		var square, distance, dd, gg, dg float64
		for i := range n {
			a, b, c := float64(old[0][i]), float64(old[1][i]), float64(old[2][i])
			near(t, "Lerp", i, v[0][i], a+(b-a)/4)
			near(t, "AddScaled", i, v[1][i], (b+c)/2)
			near(t, "Along", i, v[2][i], a+2*b)
			square += a * a
			distance += (a - b) * (a - b)
			dd, gg, dg = dd+(a-b)*(a-b), gg+c*c, dg+(a-b)*c
		}
		close := func(name string, got, want float64) {
			if math.Abs(got-want) > 1e-12*(1+math.Abs(want)) {
				t.Errorf("%s of %d: %v, want %v", name, n, got, want)
			}
		}
		close("SquareSum", SquareSum(old[0]), square)
		close("DistanceSum", DistanceSum(old[0], old[1]), distance)
		x, y, z := Products(old[0], old[1], old[2])
		close("Products", x, dd)
		close("Products", y, gg)
		close("Products", z, dg)
	}
	nan := float32(math.NaN())
	x := []float32{-3, -1, 0.5, 2, nan}
	Limit(x, 1)
	if !slices.Equal(x[:4], []float32{-1, -1, 0.5, 1}) || x[4] == x[4] {
		t.Errorf("Limit: %v", x)
	}
	Multiply(x, 2)
	if !slices.Equal(x[:4], []float32{-2, -2, 1, 2}) {
		t.Errorf("Multiply: %v", x)
	}
}

// As TestUpdatesAtEveryLevel.
func TestFamilyAtEveryLevel(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	special := []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 1e-42, 3e38}
	for range 200 {
		n := r.IntN(300)
		start := vectors(5, n)
		for range n / 10 {
			start[r.IntN(5)][r.IntN(n)] = special[r.IntN(len(special))]
		}
		a := testAdam
		a.Decay, a.Shrink = 0.01*float32(r.IntN(2)), 1-0.01*float32(r.IntN(2))
		c := ParleStep{LR: 0.1, Gamma: 0.3, Momentum: 0.9 * float32(r.IntN(2)), Decay: 0.01, Alpha: 0.75, Keep: 0.25}
		updates := map[string]func(v [][]float32){
			"Adam": func(v [][]float32) { Adam(v[0], v[1], v[2], v[3], a) },
			"ParleInner": func(v [][]float32) {
				if c.Momentum == 0 {
					v[2] = nil
				}
				ParleInner(v[0], v[1], v[2], v[3], v[4], c)
			},
			"SquareSum": func(v [][]float32) {
				sum := math.Float64bits(SquareSum(v[0]))
				if len(v[1]) > 1 {
					v[1][0], v[1][1] = float32(sum>>40), float32(sum&(1<<24-1)) // the ends of its bits
				}
			},
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
							t.Fatalf("%s of %d elements: vector %d[%d] = %v, in Go %v", name, n, i, j, got, w)
						}
					}
				}
			}
		})
	}
}
