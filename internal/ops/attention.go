package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// Attention holds the operands of scaled dot-product attention (Vaswani et al. 2017, equation 1), for B sequences, H heads
// of the queries and G of keys and values, H being a multiple of G.
type Attention struct {
	Q *gorgonia.Node // (B, H, S, D)
	K *gorgonia.Node // (B, G, T, D)
	V *gorgonia.Node // (B, G, T, E)
	// Bias is added to the scores, to whose shape (B, H, S, T) it must broadcast; -Inf hides a key from a query. May be nil.
	Bias    *gorgonia.Node
	Scale   float64 // of the scores
	Softcap float64 // if not 0, scores become Softcap*tanh(scores/Softcap) before the bias
}

// Apply returns the result (B, H, S, E), and the scores, of shape (B, H, S, T), after each step: scaled, capped, biased, and as
// probabilities. A query from which all keys are hidden has probabilities and a result of 0.
func (a Attention) Apply() (y *gorgonia.Node, steps [4]*gorgonia.Node, err error) {
	q, k, v := a.Q.Shape(), a.K.Shape(), a.V.Shape()
	if len(q) != 4 || len(k) != 4 || len(v) != 4 || q[0] != k[0] || q[0] != v[0] || k[1] != v[1] || q[1]%k[1] != 0 || k[2] != v[2] || q[3] != k[3] {
		return nil, steps, fmt.Errorf("ops: Attention: queries, keys and values of shapes %v, %v and %v do not fit", q, k, v)
	}
	if !(a.Softcap >= 0) {
		return nil, steps, fmt.Errorf("ops: Attention: a soft cap of %v", a.Softcap)
	}
	keys, values, err := a.repeated(q[1] / k[1])
	if err != nil {
		return nil, steps, err
	}
	if keys, err = Transpose(keys, []int{0, 1, 3, 2}); err != nil {
		return nil, steps, err
	}
	// The smaller of the two tensors is scaled.
	queries := a.Q
	if q[3] < k[2] {
		queries, err = scaled(queries, a.Scale)
	}
	if err != nil {
		return nil, steps, err
	}
	s, err := MatMul(queries, keys)
	if err == nil && queries == a.Q {
		s, err = scaled(s, a.Scale)
	}
	if err != nil {
		return nil, steps, err
	}
	steps[0] = s
	if a.Softcap > 0 {
		if s, err = scaled(s, 1/a.Softcap); err != nil {
			return nil, steps, err
		}
		if s, err = Tanh(s); err != nil {
			return nil, steps, err
		}
		if s, err = scaled(s, a.Softcap); err != nil {
			return nil, steps, err
		}
	}
	steps[1] = s
	softmax := Softmax
	if a.Bias != nil {
		if b, err := broadcast(a.Bias.Shape(), s.Shape()); err != nil || !sameShape(b, s.Shape()) {
			return nil, steps, fmt.Errorf("ops: Attention: a bias of shape %v for scores of shape %v", a.Bias.Shape(), s.Shape())
		}
		if s, err = Add(s, a.Bias); err != nil {
			return nil, steps, err
		}
		softmax = hiddenSoftmax
	}
	steps[2] = s
	if s, err = softmax(s, -1); err != nil {
		return nil, steps, err
	}
	steps[3] = s
	y, err = MatMul(s, values)
	return y, steps, err
}

// repeated gives each head of keys and values to times heads of the queries that follow each other.
func (a Attention) repeated(times int) (k, v *gorgonia.Node, err error) {
	out := [2]*gorgonia.Node{a.K, a.V}
	if times == 1 {
		return a.K, a.V, nil
	}
	for i, x := range out {
		s := x.Shape()
		if x, err = Reshape(x, []int{s[0], s[1], 1, s[2], s[3]}); err != nil {
			return nil, nil, err
		}
		if x, err = Expand(x, []int{s[0], s[1], times, s[2], s[3]}); err != nil {
			return nil, nil, err
		}
		if out[i], err = Reshape(x, []int{s[0], s[1] * times, s[2], s[3]}); err != nil {
			return nil, nil, err
		}
	}
	return out[0], out[1], nil
}

// hiddenSoftmax is Softmax, but where all elements of a sum are -Inf the result is 0 instead of no number.
func hiddenSoftmax(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
	return alongAxis(x, axis, &along{base: base{name: "HiddenSoftmax"},
		f32: hiddenSoftmaxLoop[float32], f64: hiddenSoftmaxLoop[float64],
		g32: kernels.SoftmaxGrad[float32], g64: kernels.SoftmaxGrad[float64]})
}

func hiddenSoftmaxLoop[T kernels.Float](y, x []T, n, stride, columns int) {
	var hidden [kernels.Tile]bool
	for j := range columns {
		hidden[j] = true
		for i := 0; i < n && hidden[j]; i++ {
			hidden[j] = math.IsInf(float64(x[i*stride+j]), -1)
		}
	}
	kernels.Softmax(y, x, n, stride, columns)
	for j := range columns {
		for i := 0; i < n && hidden[j]; i++ {
			y[i*stride+j] = 0
		}
	}
}

// Rotate turns pairs of elements of the last axis of x by angles (Su et al. 2021, RoPE): element i and its partner become
// cos*a - sin*b and sin*a + cos*b. cos and sin broadcast to x with half of its last axis. Partners are neighbours if
// interleaved, else half the axis apart.
func Rotate(x, cos, sin *gorgonia.Node, interleaved bool) (*gorgonia.Node, error) {
	shape := []int(x.Shape())
	last := len(shape) - 1
	if last < 0 || shape[last]%2 != 0 {
		return nil, fmt.Errorf("ops: Rotate: x of shape %v has no pairs along its last axis", shape)
	}
	half := shape[last] / 2
	step, second := 1, half
	if interleaved {
		step, second = 2, 1
	}
	sizes, starts, steps := append([]int(nil), shape...), make([]int, len(shape)), make([]int, len(shape))
	for i := range steps {
		steps[i] = 1
	}
	sizes[last], steps[last] = half, step
	a, err := Slice(x, starts, steps, sizes)
	if err != nil {
		return nil, err
	}
	starts[last] = second
	b, err := Slice(x, starts, steps, sizes)
	if err != nil {
		return nil, err
	}
	combine := func(f func(x, y *gorgonia.Node) (*gorgonia.Node, error), ca, cb *gorgonia.Node) (*gorgonia.Node, error) {
		u, err := Mul(a, ca)
		if err != nil {
			return nil, err
		}
		v, err := Mul(b, cb)
		if err != nil {
			return nil, err
		}
		w, err := f(u, v)
		if err == nil && !sameShape(w.Shape(), sizes) {
			err = fmt.Errorf("ops: Rotate: angles of shape %v for x of shape %v", cos.Shape(), shape)
		}
		if err != nil || !interleaved {
			return w, err
		}
		return Reshape(w, append(append([]int(nil), sizes...), 1))
	}
	re, err := combine(Sub, cos, sin)
	if err != nil {
		return nil, err
	}
	im, err := combine(Add, sin, cos)
	if err != nil {
		return nil, err
	}
	y, err := Concat(len(re.Shape())-1, re, im)
	if err != nil {
		return nil, err
	}
	return Reshape(y, shape)
}
