package ops

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// pooledBuilder pools Relu or not of BatchNorm (mode "eval", with five operands), BatchNormTrain (three) or the input
// itself, by MaxPool or PoolFirst.
func pooledBuilder(t *testing.T, first bool, mode string, relu bool, a PoolAttr) builder {
	return func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (z *gorgonia.Node, err error) {
		z = in[0]
		switch mode {
		case "train":
			z, _, err = BatchNormTrain(in[0], in[1], in[2], 1e-2)
		case "eval":
			z, err = BatchNorm(in[0], in[1], in[2], in[3], in[4], 1e-2)
		}
		if err == nil && relu {
			if z, err = relued(z, first); err != nil {
				return nil, err
			}
		}
		if err != nil || !first {
			if err == nil {
				z, err = MaxPool(z, a)
			}
			return z, err
		}
		y, ok, err := PoolFirst(z, a)
		if err == nil && !ok {
			t.Error("not pooled first")
		}
		return y, err
	}
}

// relued is Relu, or where z is a normalisation and it is wanted, NormRelu.
func relued(z *gorgonia.Node, together bool) (*gorgonia.Node, error) {
	if together {
		if y, ok, err := NormRelu(z); ok || err != nil {
			return y, err
		}
	}
	return Relu(z)
}

func pooledModes(do func(mode string, relu bool, operands int)) {
	do("train", true, 3)
	do("train", false, 3)
	do("eval", true, 5)
	do("eval", false, 5)
	do("plain", true, 1)
}

// Channels have scales of both signs.
func pooledInputs(seed uint64, x []int) []*tensor.Dense {
	c := x[1]
	scale := fill(func(i int) float64 { return float64(i%3)*1.25 - 0.75 }, c)
	return []*tensor.Dense{distinct(seed, x...), scale, randn(seed+1, c), randn(seed+2, c), uniform(seed+3, 0.5, 2, c)}
}

var pooledFirstCases = append(append([]struct {
	name string
	x    []int
	a    PoolAttr
}{}, poolCases...), []struct {
	name string
	x    []int
	a    PoolAttr
}{
	{"many small planes", []int{5, 70, 4, 4}, PoolAttr{Kernel: []int{2, 2}, Strides: []int{2, 2}}},
	{"planes larger than a block", []int{2, 2, 60, 63}, PoolAttr{Kernel: []int{3, 3}, Strides: []int{3, 3}}},
}...)

func TestPoolFirstGrad(t *testing.T) {
	for i, c := range pooledFirstCases[:len(poolCases)] {
		t.Run(c.name, func(t *testing.T) {
			pooledModes(func(mode string, relu bool, operands int) {
				var wrt []int
				for k := range min(operands, 3) {
					wrt = append(wrt, k)
				}
				checkGradWRT(t, wrt, pooledBuilder(t, true, mode, relu, c.a), pooledInputs(uint64(i), c.x)[:operands]...)
			})
		})
	}
}

// The result has the bits of normalising first; derivatives differ by the rounding of other orders of sums. Elements
// occur several times, are infinite or NaN, and a scale is 0.
func TestPoolFirstLikeMaxPool(t *testing.T) {
	for i, c := range pooledFirstCases {
		for _, special := range []string{"", "ties", "zero scale", "NaN", "infinite"} {
			t.Run(c.name+" "+special, func(t *testing.T) {
				inputs := pooledInputs(uint64(i)+50, c.x)
				x := inputs[0].Float64s()
				for k := range x {
					switch {
					case special == "ties" || special == "zero scale":
						x[k] = math.Round(2*x[k]) / 2
					case special == "NaN" && k%17 == 3:
						x[k] = math.NaN()
					case special == "infinite" && k%17 == 3:
						x[k] = math.Inf(k%2*2 - 1)
					}
				}
				if special == "zero scale" {
					inputs[1].Float64s()[0] = 0
				}
				pooledModes(func(mode string, relu bool, operands int) {
					if mode == "train" && (special == "NaN" || special == "infinite") {
						return // all NaN
					}
					comparePooled(t, c.a, mode, relu, inputs[:operands])
				})
			})
		}
	}
}

func comparePooled(t *testing.T, a PoolAttr, mode string, relu bool, inputs []*tensor.Dense) {
	t.Helper()
	point := buffers(t, inputs)
	wrt := []int{0, 1, 2}[:min(len(inputs), 3)]
	for _, dt := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
		after := newTrial(t, pooledBuilder(t, false, mode, relu, a), dt, point, wrt)
		first := newTrial(t, pooledBuilder(t, true, mode, relu, a), dt, point, wrt)
		want, got := after.eval(t, point, after.out)[0], first.eval(t, point, first.out)[0]
		if !sameBits(want, got) {
			t.Errorf("%s, relu %v, %v: other bits than those of MaxPool", mode, relu, dt)
		}
		tolerance := 1e-11
		if dt == tensor.Float32 {
			tolerance = 1e-5
		}
		wantGrads, gotGrads := after.grads(t, point), first.grads(t, point)
		for k := range wantGrads {
			g := widened(gotGrads[k])
			for j, w := range widened(wantGrads[k]) {
				if k == 1 && math.IsNaN(w) {
					continue // 0 times an infinite element that no window passes on
				}
				if d := math.Abs(g[j] - w); !(d <= tolerance*(1+math.Abs(w))) && !(math.IsNaN(w) && math.IsNaN(g[j])) && g[j] != w {
					t.Errorf("%s, relu %v, %v: gradient %d, element %d is %v, MaxPool's %v", mode, relu, dt, k, j, g[j], w)
					return
				}
			}
		}
	}
}

// Anything else is left to MaxPool.
func TestPoolFirstElse(t *testing.T) {
	g := gorgonia.NewGraph()
	x := newInput(g, tensor.Float32, "x", []int{1, 1, 4, 4})
	s, err := Sigmoid(x)
	if err != nil {
		t.Fatal(err)
	}
	for _, z := range []*gorgonia.Node{x, s} {
		if y, ok, err := PoolFirst(z, PoolAttr{Kernel: []int{2, 2}}); y != nil || ok || err != nil {
			t.Errorf("PoolFirst of %v: %v, %v, %v", z, y, ok, err)
		}
	}
	r, err := Relu(x)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := PoolFirst(r, PoolAttr{Kernel: []int{5, 5}}); !ok || err == nil {
		t.Errorf("a kernel larger than the input: %v, %v", ok, err)
	}
}
