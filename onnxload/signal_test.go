package onnxload_test

import (
	"fmt"
	"math"
	"math/cmplx"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// waves are numbers without a pattern.
func waves(n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = math.Sin(float64(7*i*i+3*i)) + 0.3
	}
	return x
}

// transform is the sum that defines a bin of the discrete Fourier transform of length n.
func transform(x []complex128, n, k int, inverse bool) (y complex128) {
	sign, scale := -1.0, complex(1, 0)
	if inverse {
		sign, scale = 1, complex(1/float64(n), 0)
	}
	for j := range min(n, len(x)) {
		y += x[j] * cmplx.Rect(1, sign*2*math.Pi*float64(j)*float64(k)/float64(n)) * scale
	}
	return y
}

// TestDFT transforms the middle axis of (2, length, 3, parts) and compares every number with its definition.
func TestDFT(t *testing.T) {
	for _, c := range []struct {
		length, parts, n  int
		inverse, onesided bool
	}{
		{8, 1, 8, false, false}, {7, 2, 7, false, false}, {7, 2, 7, true, false}, {6, 1, 6, false, true}, {7, 1, 7, false, true},
		{5, 1, 8, false, true}, {5, 2, 3, false, false}, {4, 2, 6, true, false}, {1, 1, 1, false, false}, {4, 2, 6, true, true}, {4, 2, 7, true, true},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			inv, one := 0, 0
			if c.inverse {
				inv = 1
			}
			if c.onesided {
				one = 1
			}
			m := model(20, list(input("x", "N", c.length, 3, c.parts)), list(scalar("n", int64(c.n)), scalar("axis", 1)),
				protos{node("DFT", list("x", "n", "axis"), list("y"), "inverse", inv, "onesided", one)}, "y")
			x := waves(2 * c.length * 3 * c.parts)
			got := eval(t, m, 2, x...)[0]
			bins, parts := c.n, 2
			if c.onesided && c.inverse {
				parts = 1
			} else if c.onesided {
				bins = c.n/2 + 1
			}
			if len(got) != 2*bins*3*parts {
				t.Fatalf("%d numbers, want %d", len(got), 2*bins*3*parts)
			}
			for b := range 2 {
				for i := range 3 {
					line := make([]complex128, c.length)
					for j := range line {
						at := ((b*c.length+j)*3 + i) * c.parts
						line[j] = complex(x[at], 0)
						if c.parts == 2 {
							line[j] += complex(0, x[at+1])
						}
					}
					if c.onesided && c.inverse { // the other half is the mirror image
						line = line[:c.n/2+1]
						line[0] = complex(real(line[0]), 0)
						if c.n%2 == 0 {
							line[c.n/2] = complex(real(line[c.n/2]), 0)
						}
						for j := len(line); j < c.n; j++ {
							line = append(line, cmplx.Conj(line[c.n-j]))
						}
					}
					for k := range bins {
						want := transform(line, c.n, k, c.inverse)
						at := ((b*bins+k)*3 + i) * parts
						if !near(got[at], real(want), 1e-12) || parts == 2 && !near(got[at+1], imag(want), 1e-12) {
							t.Fatalf("bin %d of line %d, %d is %v, want %v", k, b, i, got[at:at+parts], want)
						}
					}
				}
			}
		})
	}
}

// TestSTFT compares with transforms of the frames, cut out one by one, and its gradient with differences.
func TestSTFT(t *testing.T) {
	const length, n, step = 23, 6, 4
	m := model(17, list(input("x", "N", length, 1)), list(scalar("step", step), scalar("n", n)), protos{
		node("HannWindow", list("n"), list("w")),
		node("STFT", list("x", "step", "w", "n"), list("y")),
	}, "y")
	x := waves(2 * length)
	got := eval(t, m, 2, x...)[0]
	frames, bins := (length-n)/step+1, n/2+1
	if len(got) != 2*frames*bins*2 {
		t.Fatalf("%d numbers, want %d", len(got), 2*frames*bins*2)
	}
	for b := range 2 {
		for f := range frames {
			var frame []complex128
			for k := range n {
				w := math.Pow(math.Sin(math.Pi*float64(k)/n), 2)
				w = float64(float32(w)) // the window is of float32
				frame = append(frame, complex(w*x[b*length+f*step+k], 0))
			}
			for k := range bins {
				at := ((b*frames+f)*bins + k) * 2
				if want := transform(frame, n, k, false); !near(got[at], real(want), 1e-7) || !near(got[at+1], imag(want), 1e-7) {
					t.Errorf("frame %d of signal %d, bin %d: %v, want %v", f, b, k, got[at:at+2], want)
				}
			}
		}
	}
}

// TestSpectrumGradient trains a filter in front of a spectrum: the power of each bin is the score of a class.
func TestSpectrumGradient(t *testing.T) {
	m := model(20, list(input("x", "N", 6)), list(floats("w", []int64{6}), scalar("n", 6), ints("last", 2), scalar("one", 1)), protos{
		node("Mul", list("x", "w"), list("f")),
		node("Unsqueeze", list("f", "last"), list("c")),
		node("DFT", list("c", "n", "one"), list("s"), "onesided", 1),
		node("ReduceSumSquare", list("s", "last"), list("y"), "keepdims", 0),
	}, "y")
	x, labels := waves(12), []int64{1, 3}
	net := build(t, m, 2, onnxload.Options{Training: true, Dtype: tensor.Float64})
	_, grads := gradients(t, net, x, labels)
	w := net.Weights()
	loss := func(k int, h float64) (l float64) {
		for b, label := range labels {
			line := make([]complex128, 6)
			for j := range line {
				v := float64(w[j])
				if j == k {
					v += h
				}
				line[j] = complex(v*x[b*6+j], 0)
			}
			sum, own := 0.0, 0.0
			for k := range 4 {
				y := transform(line, 6, k, false)
				power := real(y)*real(y) + imag(y)*imag(y)
				sum += math.Exp(power)
				if int64(k) == label {
					own = power
				}
			}
			l += (math.Log(sum) - own) / 2
		}
		return l
	}
	for k := range w {
		if want := (loss(k, 1e-5) - loss(k, -1e-5)) / 2e-5; !near(grads[0][k], want, 1e-8) {
			t.Errorf("derivative by weight %d is %v, want %v", k, grads[0][k], want)
		}
	}
}

func TestSignalErrors(t *testing.T) {
	for name, c := range map[string]struct {
		nodes protos
		want  string
	}{
		"window":   {protos{node("HannWindow", list("minus"), list("w")), node("Add", list("x", "w"), list("y"))}, "no length"},
		"huge":     {protos{node("HannWindow", list("huge"), list("w")), node("Add", list("x", "w"), list("y"))}, "no length"},
		"parts":    {protos{node("DFT", list("x"), list("y"))}, "1 (real) or 2 (complex)"},
		"length":   {protos{node("Slice", list("x", "from", "to", "last"), list("c")), node("DFT", list("c", "zero"), list("y"))}, "length 0"},
		"frames":   {protos{node("STFT", list("x", "zero"), list("y"))}, "in steps of 0"},
		"onesided": {protos{node("Slice", list("x", "from", "to", "last"), list("c")), node("DFT", list("c"), list("y"), "onesided", 1)}, "one-sided"},
		"mel":      {protos{node("MelWeightMatrix", list("four", "four", "four", "four", "zero"), list("w")), node("Add", list("x", "w"), list("y"))}, "bands from"},
	} {
		m := model(20, list(input("x", "N", 4, 3)), list(scalar("minus", -1), scalar("zero", 0), scalar("huge", 1<<40), scalar("four", 4),
			ints("from", 0), ints("to", 2), ints("last", 2)), c.nodes, "y")
		if err := buildError(t, m, 2, onnxload.Options{}); !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
