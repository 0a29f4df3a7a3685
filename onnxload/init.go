package onnxload

import (
	"math"

	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// Reinit returns new initial weights and running statistics, those that PyTorch's modules start with:
//   - weights and biases of convolutions and linear layers: uniform in +-1/sqrt(fan in), which for weights is
//     Kaiming's uniform initialisation with a = sqrt(5);
//   - embeddings: standard normal;
//   - BatchNormalization: scale 1, bias 0, mean 0, variance 1.
//
// Other trainable tensors keep the numbers of the file. The numbers of a tensor depend on seed and on its place
// in Net.Params only.
func (n *Net) Reinit(seed uint64) (weights, running []float32) {
	weights, running = n.Weights(), n.Running()
	for number, p := range n.Params {
		w := weights[p.From:p.To]
		s := rng.Stream{Seed: seed, Purpose: rng.Init, Eval: uint64(number)}
		switch r := p.src.role; r.kind {
		case roleWeight, roleBias:
			if r.fanIn > 0 {
				uniform(w, 1/math.Sqrt(float64(r.fanIn)), s)
			}
		case roleTable:
			s.Normals(w, 0)
		case roleScale:
			fill(w, 1)
		case roleShift:
			fill(w, 0)
		}
	}
	for _, b := range n.Buffers {
		if b.mean {
			fill(running[b.From:b.To], 0)
		} else {
			fill(running[b.From:b.To], 1)
		}
	}
	return weights, running
}

// uniform fills w with numbers of the open interval (-bound, bound): number i is made of word i%4 of block i/4.
func uniform(w []float32, bound float64, s rng.Stream) {
	var block [4]uint32
	for i := range w {
		if i%4 == 0 {
			block = s.Block(uint32(i / 4))
		}
		w[i] = float32((2*float64(rng.Uniform(block[i%4])) - 1) * bound)
	}
}

func fill(w []float32, v float32) {
	for i := range w {
		w[i] = v
	}
}
