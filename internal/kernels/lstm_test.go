package kernels

import (
	"math/rand/v2"
	"testing"
)

// lstmUnits are the operands of a row: those of LSTMStep, then those that LSTMGrad has besides.
type lstmUnits struct {
	gates, bias, before, c, tanh, h []float32
	da, dc, dh                      []float32
}

// newUnits draws a row of n units that is the end of rows of stride units, so that reading beyond it faults.
func newUnits(t *testing.T, seed uint64, stride, n int) lstmUnits {
	r := rand.New(rand.NewPCG(seed, 9))
	draw := func(n int) []float32 {
		s := normal[float32](r, n)
		for i := range s {
			if s[i] *= 3; r.IntN(20) == 0 {
				s[i] = specials[r.IntN(len(specials))]
			}
		}
		return guarded(t, s)
	}
	all := 3*stride + n
	return lstmUnits{draw(all), draw(all), draw(n), draw(n), draw(n), draw(n), draw(all), draw(n), draw(n)}
}

// The fused step gives the bits of the loops that it is made of, at every level, and leaves what lies between the
// gates alone.
func TestLSTMStep(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for n := 1; n < 40; n++ {
			for _, stride := range []int{n, n + 5} {
				got, want := newUnits(t, uint64(n), stride, n), newUnits(t, uint64(n), stride, n)
				LSTMStep(got.gates, got.bias, stride, got.before, got.c, got.tanh, got.h)
				for j := range n {
					gate := func(k int) *float32 { return &want.gates[k*stride+j] }
					for k := range 4 {
						*gate(k) += want.bias[k*stride+j]
						if k < 3 {
							*gate(k) = sigmoid32(*gate(k))
						} else {
							*gate(k) = tanh32(*gate(k))
						}
					}
					want.c[j] = float32(*gate(2)*want.before[j]) + float32(*gate(0)**gate(3))
					want.tanh[j] = tanh32(want.c[j])
					want.h[j] = *gate(1) * want.tanh[j]
				}
				compareUnits(t, n, map[string][2][]float32{"gates": {got.gates, want.gates}, "c": {got.c, want.c}, "tanh": {got.tanh, want.tanh}, "h": {got.h, want.h}})
			}
		}
	})
}

func TestLSTMGrad(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for n := 1; n < 40; n++ {
			for _, stride := range []int{n, n + 5} {
				got, want := newUnits(t, uint64(n), stride, n), newUnits(t, uint64(n), stride, n)
				LSTMGrad(got.da, got.gates, stride, got.dc, got.dh, got.tanh, got.before)
				for j := range n {
					i, o, f, g := want.gates[j], want.gates[stride+j], want.gates[2*stride+j], want.gates[3*stride+j]
					y, dh := want.tanh[j], want.dh[j]
					d := float32(float32(dh*o)*(1-float32(y*y))) + want.dc[j]
					want.da[j] = float32(d*g) * float32(i*(1-i))
					want.da[stride+j] = float32(dh*y) * float32(o*(1-o))
					want.da[2*stride+j] = float32(d*want.before[j]) * float32(f*(1-f))
					want.da[3*stride+j] = float32(d*i) * (1 - float32(g*g))
					want.dc[j] = d * f
				}
				compareUnits(t, n, map[string][2][]float32{"da": {got.da, want.da}, "dc": {got.dc, want.dc}})
			}
		}
	})
}

func compareUnits(t *testing.T, n int, pairs map[string][2][]float32) {
	t.Helper()
	for name, p := range pairs {
		for i, v := range p[0] {
			if !sameBits(v, p[1][i]) {
				t.Fatalf("%d units: %s[%d] is %v, want %v", n, name, i, v, p[1][i])
			}
		}
	}
}

func BenchmarkLSTMStep(b *testing.B) {
	const n = 128
	r := rand.New(rand.NewPCG(1, 1))
	x := func(n int) []float32 { return normal[float32](r, n) }
	fresh, gates, bias, before, c, tanh, h := x(4*n), x(4*n), x(4*n), x(n), x(n), x(n), x(n)
	eachLevel(b, func(b *testing.B) {
		for b.Loop() {
			copy(gates, fresh)
			LSTMStep(gates, bias, n, before, c, tanh, h)
		}
		b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds()/1e6, "Munits/s")
	})
}
