package ops

import (
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// rectifiedBuilder is BatchNormTrain of three operands, or BatchNorm of five, then Relu and, with a ratio, Dropout: in one
// operator or in several.
func rectifiedBuilder(t *testing.T, together bool, ratio float64) builder {
	return func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		var y *gorgonia.Node
		var err error
		if len(in) == 3 {
			y, _, err = BatchNormTrain(in[0], in[1], in[2], 1e-2)
		} else {
			y, err = BatchNorm(in[0], in[1], in[2], in[3], in[4], 1e-2)
		}
		if err != nil {
			return nil, err
		}
		if !together {
			if y, err = Relu(y); err == nil && ratio > 0 {
				y, err = Dropout(y, ratio, 3)
			}
			return y, err
		}
		y, ok, err := NormRelu(y)
		if err == nil && ok && ratio > 0 {
			y, ok, err = NormReluDropout(y, ratio, 3)
		}
		if !ok {
			t.Error("not together")
		}
		return y, err
	}
}

func TestNormReluGrad(t *testing.T) {
	for i, shape := range normShapes {
		for _, ratio := range []float64{0, 0.4} {
			t.Run(fmt.Sprint(shape, ratio), func(t *testing.T) {
				in := pooledInputs(uint64(i)+70, shape)
				build := rectifiedBuilder(t, true, ratio)
				checkGrad(t, build, in[:3]...)
				checkGradWRT(t, []int{0, 1, 2}, build, in...)
			})
		}
	}
}

// What is computed together has the bits of one operator after the other, derivatives included: over several parts, slices of
// sums and runs that are cut, with zeros, infinite elements and NaN on both sides.
func TestNormReluLikeRelu(t *testing.T) {
	for i, shape := range append([][]int{{130, 150}, {1100, 70}, {9000, 3}, {3, 2, 5000}, {40, 130, 5}, {9, 3, 7, 5}}, normShapes...) {
		for _, special := range []string{"", "infinite"} {
			for _, ratio := range []float64{0, 0.3, 1} {
				t.Run(fmt.Sprint(shape, special, ratio), func(t *testing.T) {
					inputs := pooledInputs(uint64(i)+90, shape)
					if special != "" {
						x := inputs[0].Float64s()
						for k := 3; k < len(x); k += 11 {
							x[k] = []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0}[k%4]
						}
					}
					point := buffers(t, inputs)
					for _, operands := range []int{3, 5} {
						for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
							var results [2][]*Buf
							for k := range results {
								tr := newTrial(t, rectifiedBuilder(t, k == 1, ratio), dt, point[:operands], []int{0, 1, 2})
								results[k] = tr.eval(t, point[:operands], append(gorgonia.Nodes{tr.out}, tr.deriv...)...)
							}
							for k, name := range []string{"y", "dx", "dscale", "dbias"} {
								if !sameBits(results[0][k], results[1][k]) {
									t.Errorf("%d operands, %v: other bits in %s", operands, dt, name)
								}
							}
						}
					}
				})
			}
		}
	}
}

func TestNormReluElse(t *testing.T) {
	g := gorgonia.NewGraph()
	x, v := newInput(g, tensor.Float32, "x", []int{4, 3}), newInput(g, tensor.Float32, "v", []int{3})
	z, _, err := BatchNormTrain(x, v, v, 1)
	if err != nil {
		t.Fatal(err)
	}
	relu, err := Relu(z)
	if err != nil {
		t.Fatal(err)
	}
	together, ok, err := NormRelu(z)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	for name, n := range map[string]*gorgonia.Node{"an input": x, "Relu": relu, "NormRelu": together} {
		if y, ok, err := NormRelu(n); y != nil || ok || err != nil {
			t.Errorf("NormRelu of %s: %v, %v, %v", name, y, ok, err)
		}
	}
	for name, n := range map[string]*gorgonia.Node{"an input": x, "Relu": relu, "BatchNorm": z} {
		if y, ok, err := NormReluDropout(n, 0.5, 0); y != nil || ok || err != nil {
			t.Errorf("NormReluDropout of %s: %v, %v, %v", name, y, ok, err)
		}
	}
	if _, ok, err := NormReluDropout(together, 1.5, 0); !ok || err == nil {
		t.Errorf("ratio 1.5: %v, %v", ok, err)
	}
	dropped, ok, err := NormReluDropout(together, 0.5, 0)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if Draws(together.Op().(Op)) || !Draws(dropped.Op().(Op)) {
		t.Error("the random numbers are not those of Dropout")
	}
	if y, ok, err := NormReluDropout(dropped, 0.5, 0); y != nil || ok || err != nil {
		t.Errorf("dropped twice: %v, %v, %v", y, ok, err)
	}
	image := newInput(g, tensor.Float32, "image", []int{2, 3, 4, 4})
	if z, _, err = BatchNormTrain(image, v, v, 1); err != nil {
		t.Fatal(err)
	}
	if together, _, err = NormRelu(z); err != nil {
		t.Fatal(err)
	}
	if dropped, _, err = NormReluDropout(together, 0.5, 0); err != nil {
		t.Fatal(err)
	}
	if y, ok, err := PoolFirst(dropped, PoolAttr{Kernel: []int{2, 2}}); y != nil || ok || err != nil {
		t.Errorf("pooling before dropout: %v, %v, %v", y, ok, err)
	}
}
