package rng

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// The elementary functions against float64, in units in the last place of the result.
func TestElementaryFunctions(t *testing.T) {
	ulps := func(got float32, want float64) float64 {
		_, exp := math.Frexp(want)
		return math.Abs(float64(got)-want) / math.Ldexp(1, max(exp-24, -149))
	}
	var log, sin, cos float64
	check := func(w uint32) {
		u := unit(w)
		if u <= 0 || u > 1 {
			t.Fatalf("unit(%#x) = %v", w, u)
		}
		if u == 1 {
			if v := minusTwoLog(u); v != 0 {
				t.Fatalf("minusTwoLog(1) = %v", v)
			}
		} else {
			log = max(log, ulps(minusTwoLog(u), -2*math.Log(float64(u))))
		}
		a := eighth(w)
		s, c := sinCos(a)
		sin = max(sin, ulps(s, math.Sin(float64(a))))
		cos = max(cos, ulps(c, math.Cos(float64(a))))
	}
	for w := uint64(0); w < 1<<32; w += 3989 {
		check(uint32(w))
	}
	for shift := range 32 { // both ends of each binade
		for d := range uint32(64) {
			check(1<<shift + d)
			check(1<<shift - d)
			check(-(1<<shift + d))
		}
	}
	t.Logf("largest errors in ulp: log %.2f, sin %.2f, cos %.2f", log, sin, cos)
	if log > 4 || sin > 2 || cos > 2 {
		t.Errorf("errors in ulp: log %.2f (at most 4), sin %.2f, cos %.2f (at most 2)", log, sin, cos)
	}
	if a := float64(eighth(1<<29 - 1)); math.Abs(a-math.Pi/4) > 1e-7 || eighth(1<<29) != float32(-a) {
		t.Errorf("the angles are not [-pi/4, pi/4]: %v, %v", a, eighth(1<<29))
	}
}

// Box-Muller written down from the textbook: the angle of the point and its distance.
func TestBoxMullerAgainstFloat64(t *testing.T) {
	s := Stream{Seed: 5, Purpose: Noise}
	for i := range uint32(5000) {
		w := s.Block(i)
		x, y := boxMuller(w[0], w[1])
		u := (float64(w[0]>>1) + 0.5) / (1 << 31)
		r := math.Sqrt(-2 * math.Log(u))
		theta := (float64(w[1]&(1<<30-1)) + 0.5) / (1 << 30) // in quarters of the circle
		if theta >= 0.5 {
			theta--
		}
		theta *= math.Pi / 2
		if w[1]>>30&1 == 1 {
			theta = math.Pi/2 - theta
		}
		if w[1]>>31 == 1 {
			theta += math.Pi
		}
		if math.Abs(float64(x)-r*math.Cos(theta)) > 2e-6 || math.Abs(float64(y)-r*math.Sin(theta)) > 2e-6 {
			t.Fatalf("block %d: (%v, %v), want (%v, %v)", i, x, y, r*math.Cos(theta), r*math.Sin(theta))
		}
	}
}

func TestNormalsDoNotDependOnChunks(t *testing.T) {
	s := Stream{Seed: 1, Purpose: Noise, Replica: 3, Eval: 9}
	whole := make([]float32, 100)
	s.Normals(whole, 0)
	for from := range 20 {
		for n := range 20 {
			part := make([]float32, n)
			s.Normals(part, from)
			if !slices.Equal(part, whole[from:from+n]) {
				t.Fatalf("numbers %d to %d differ when made alone", from, from+n)
			}
		}
	}
	far := make([]float32, 6)
	s.Normals(far, 1<<33+2)
	one := make([]float32, 1)
	s.Normals(one, 1<<33+5)
	if one[0] != far[3] {
		t.Error("numbers beyond 2^32 depend on chunks")
	}
}

// Four moments, the correlation of neighbours, and the Kolmogorov-Smirnov distance to the normal
// distribution. The bounds are five standard errors, and 1.95/sqrt(n) (significance 0.001); the seed is
// fixed, so the test either always passes or never.
func TestNormalsAreNormal(t *testing.T) {
	const n = 1 << 20
	x := make([]float32, n)
	for eval := range uint64(2) {
		Stream{Seed: 7, Purpose: Noise, Eval: eval}.Normals(x, 0)
		var m1, m2, m3, m4 float64
		var lag [4]float64
		for i, v := range x {
			v := float64(v)
			m1 += v
			m2 += v * v
			m3 += v * v * v
			m4 += v * v * v * v
			for k := range lag {
				if i > k {
					lag[k] += v * float64(x[i-k-1])
				}
			}
		}
		for _, c := range []struct {
			name                string
			sum, want, variance float64
		}{
			{"mean", m1, 0, 1}, {"variance", m2, 1, 2}, {"third moment", m3, 0, 15}, {"fourth moment", m4, 3, 96},
			{"correlation 1", lag[0], 0, 1}, {"correlation 2", lag[1], 0, 1},
			{"correlation 3", lag[2], 0, 1}, {"correlation 4", lag[3], 0, 1},
		} {
			if d := math.Abs(c.sum/n - c.want); d > 5*math.Sqrt(c.variance/n) {
				t.Errorf("eval %d: %s %v, want %v", eval, c.name, c.sum/n, c.want)
			}
		}
		slices.Sort(x)
		var ks float64
		for i, v := range x {
			p := 0.5 * (1 + math.Erf(float64(v)/math.Sqrt2))
			ks = max(ks, math.Abs(p-float64(i)/n), math.Abs(p-float64(i+1)/n))
		}
		if ks > 1.95/math.Sqrt(n) {
			t.Errorf("eval %d: Kolmogorov-Smirnov distance %v, want at most %v", eval, ks, 1.95/math.Sqrt(n))
		}
	}
}

// Streams that differ in one field are uncorrelated.
func TestStreamsAreIndependent(t *testing.T) {
	const n = 1 << 16
	streams := []Stream{{}, {Seed: 1}, {Seed: 1 << 32}, {Purpose: 1}, {Replica: 1}, {Eval: 1}, {Eval: 1 << 32}}
	x := make([][]float32, len(streams))
	for i, s := range streams {
		x[i] = make([]float32, n)
		s.Normals(x[i], 0)
		for j := range i {
			var sum float64
			for k := range n {
				sum += float64(x[i][k]) * float64(x[j][k])
			}
			if math.Abs(sum/n) > 5/math.Sqrt(n) {
				t.Errorf("correlation of %+v and %+v: %v", s, streams[j], sum/n)
			}
		}
	}
}

// These bits are a contract: a vector version, or another processor, must produce them.
func TestNormalsGolden(t *testing.T) {
	var x [8]float32
	Stream{Seed: 42, Purpose: Noise, Replica: 1, Eval: 3}.Normals(x[:], 2)
	var got string
	for _, v := range x {
		got += fmt.Sprintf(" %08x", math.Float32bits(v))
	}
	const want = " bff8e399 3f3d1605 3eb949a9 bf5f57e7 3f1dc2a8 bf231705 bf60a283 3f9b974a"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func BenchmarkNormals(b *testing.B) {
	x := make([]float32, 4096)
	s := Stream{Seed: 1, Purpose: Noise}
	b.SetBytes(int64(4 * len(x)))
	for b.Loop() {
		s.Normals(x, 0)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(x)), "ns/number")
}
