package runner_test

import (
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// stockNetwork builds one of the reference networks from Gorgonia's own operators, without
// BatchNormalization and dropout, which it cannot differentiate in every shape; that spares it work. It
// returns a function that computes one gradient of a mini-batch by TapeMachine.
func stockNetwork(t testing.TB, name string, batch int) func() {
	t.Helper()
	g := gorgonia.NewGraph()
	random := func(name string, scale float64, shape ...int) *gorgonia.Node {
		r := rand.New(rand.NewPCG(1, uint64(len(g.AllNodes()))))
		v := make([]float32, tensor.Shape(shape).TotalSize())
		for i := range v {
			v[i] = float32(scale * r.NormFloat64())
		}
		return gorgonia.NewTensor(g, tensor.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name),
			gorgonia.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(v))))
	}
	must := func(n *gorgonia.Node, err error) *gorgonia.Node {
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var weights gorgonia.Nodes
	weight := func(scale float64, shape ...int) *gorgonia.Node {
		w := random("w"+string(rune('a'+len(weights))), scale, shape...)
		weights = append(weights, w)
		return w
	}
	relu := func(x *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Rectify(x)) }
	conv := func(x *gorgonia.Node, out, k, pad, stride int) *gorgonia.Node {
		return must(gorgonia.Conv2d(x, weight(0.05, out, x.Shape()[1], k, k), tensor.Shape{k, k}, []int{pad, pad}, []int{stride, stride}, []int{1, 1}))
	}
	pool := func(x *gorgonia.Node, k int) *gorgonia.Node {
		return must(gorgonia.MaxPool2D(x, tensor.Shape{k, k}, []int{0, 0}, []int{k, k}))
	}
	linear := func(x *gorgonia.Node, out int) *gorgonia.Node {
		return must(gorgonia.Mul(x, weight(0.05, x.Shape()[1], out)))
	}
	var y *gorgonia.Node
	switch name {
	case "mnistfc":
		y = linear(relu(linear(relu(linear(random("x", 1, batch, 784), 1024)), 1024)), 10)
	case "mnistconv":
		x := pool(relu(conv(random("x", 1, batch, 1, 28, 28), 20, 5, 0, 1)), 3)
		x = pool(relu(conv(x, 50, 5, 0, 1)), 2)
		y = linear(relu(linear(must(gorgonia.Reshape(x, tensor.Shape{batch, 200})), 500)), 10)
	case "allcnn":
		x := random("x", 1, batch, 3, 32, 32)
		for _, l := range [][4]int{{96, 3, 1, 1}, {96, 3, 1, 1}, {96, 3, 1, 2}, {192, 3, 1, 1}, {192, 3, 1, 1}, {192, 3, 1, 2}, {192, 3, 1, 1}, {192, 1, 0, 1}, {10, 1, 0, 1}} {
			x = relu(conv(x, l[0], l[1], l[2], l[3]))
		}
		y = must(gorgonia.Mean(must(gorgonia.Reshape(x, tensor.Shape{batch, 10, 64})), 2))
	default:
		t.Fatalf("no network %q", name)
	}
	hot := make([]float32, batch*10)
	for i := range batch {
		hot[i*10+i*7%10] = 1
	}
	target := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(batch, 10), gorgonia.WithName("target"),
		gorgonia.WithValue(tensor.New(tensor.WithShape(batch, 10), tensor.WithBacking(hot))))
	logp := must(gorgonia.Log(must(gorgonia.SoftMax(y))))
	loss := must(gorgonia.Neg(must(gorgonia.Mean(must(gorgonia.HadamardProd(logp, target))))))
	if _, err := gorgonia.Grad(loss, weights...); err != nil {
		t.Fatal(err)
	}
	vm := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(weights...))
	t.Cleanup(func() { vm.Close() })
	return func() {
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		vm.Reset()
	}
}

// BenchmarkGorgonia is what models/compare.py holds against BenchmarkGradient.
func BenchmarkGorgonia(b *testing.B) {
	for name, batch := range map[string]int{
		"mnistfc":   128,
		"mnistconv": 128,
		"allcnn":    16, // 128 take more than 6 GB
	} {
		b.Run(name, func(b *testing.B) {
			run := stockNetwork(b, name, batch)
			run()
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N)*128/float64(batch), "ms/128samples")
		})
	}
}
