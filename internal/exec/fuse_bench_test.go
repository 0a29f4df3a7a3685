package exec_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/exec"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
	"github.com/onnx-entropy/onnx-entropy/models"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// BenchmarkFusion runs the gradients of the sample networks fused and not, in turns, and reports medians.
func BenchmarkFusion(b *testing.B) {
	for _, name := range []string{"mnistfc", "mnistconv", "allcnn"} {
		b.Run(name, func(b *testing.B) {
			machines := []*exec.VM{machine(b, name, exec.Options{}), machine(b, name, exec.Options{Unfused: true})}
			var times [2][]float64
			for b.Loop() {
				for k, vm := range machines {
					start := time.Now()
					if err := vm.Run(context.Background(), exec.Draw{}); err != nil {
						b.Fatal(err)
					}
					times[k] = append(times[k], time.Since(start).Seconds()*1e3)
				}
			}
			for k, unit := range []string{"fused-ms", "unfused-ms"} {
				slices.Sort(times[k])
				b.ReportMetric(times[k][len(times[k])/2], unit)
				b.ReportMetric(float64(machines[k].Plan().ArenaBytes())/(1<<20), unit[:len(unit)-3]+"-arena-MB")
			}
		})
	}
}

// machine computes the gradient of a sample network for 128 samples.
func machine(b *testing.B, name string, o exec.Options) *exec.VM {
	file, err := models.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	model, err := onnxload.Parse(file)
	if err != nil {
		b.Fatal(err)
	}
	net, err := model.Build(128, onnxload.Options{Training: true})
	if err != nil {
		b.Fatal(err)
	}
	var params gorgonia.Nodes
	for _, p := range net.Params {
		params = append(params, p.Node)
	}
	targets := gorgonia.NewVector(net.Graph, tensor.Int64, gorgonia.WithShape(128), gorgonia.WithName("targets"))
	loss, err := ops.CrossEntropy(net.Outputs[0], targets)
	if err != nil {
		b.Fatal(err)
	}
	if o.Direct, err = gorgonia.Grad(loss, params...); err != nil {
		b.Fatal(err)
	}
	plan, err := exec.Compile([]*gorgonia.Node{loss}, o)
	if err != nil {
		b.Fatal(err)
	}
	vm := plan.New(parallel.New(0))
	r := rand.New(rand.NewPCG(1, 1))
	bind := func(h int, shape []int, scale float64) {
		v := make([]float32, tensor.Shape(shape).TotalSize())
		for i := range v {
			v[i] = float32(r.NormFloat64() * scale)
		}
		if err := vm.BindF32(h, v); err != nil {
			b.Fatal(err)
		}
	}
	for i, n := range plan.Inputs() {
		h, _ := vm.Input(n)
		if n.Dtype() == tensor.Int64 {
			labels := make([]int64, 128)
			for k := range labels {
				labels[k] = int64((k + i) % 10)
			}
			if err := vm.BindI64(h, labels); err != nil {
				b.Fatal(err)
			}
			continue
		}
		scale := 0.05
		if slices.Contains(net.Inputs, n) {
			scale = 1
		}
		bind(h, n.Shape(), scale)
	}
	for _, g := range o.Direct {
		bind(vm.Direct(g), g.Shape(), 0)
	}
	return vm
}
