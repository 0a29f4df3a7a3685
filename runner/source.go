package runner

import (
	"fmt"

	"gorgonia.org/tensor"
)

// A Batch is the samples of one gradient or one evaluation. The first dimension of every tensor is the
// number of samples. Inputs has one for each of the network's Net.Inputs, in their order: float32, or int64 for an
// input of integers or bools. A BERT takes numbers of words (batch, sequence) and a mask of the same shape. Targets are in
// the order of the loss's (CrossEntropy and NLL: int64; MSE and BCE: float32).
//
// A network that was built with onnxload's Options.Carry starts from States, one slice for each of its Net.States
// (nil: zeros), and what computes with it copies the states behind the batch to Finals, unless that is nil.
type Batch struct {
	Inputs, Targets []*tensor.Dense
	States, Finals  [][]float32
}

// A Source gives samples by index: from memory, files, or whatever can be addressed. Read is called from one
// goroutine at a time.
type Source interface {
	// Len is the number of samples.
	Len() int
	// Read puts the samples idx, in that order, into dst. It may use the tensors that it left in dst the
	// last time when their shapes fit, and must not keep idx.
	Read(dst *Batch, idx []int) error
}

// Memory is a Source over tensors whose first dimension is the sample. Elements are float32 or int64.
type Memory struct{ inputs, targets []*tensor.Dense }

// NewMemory returns a Source over the given tensors, which it reads and never writes. For a network of several inputs:
//
//	NewMemory([]*tensor.Dense{ids, mask}, []*tensor.Dense{labels}) // (n, sequence), (n, sequence), (n)
func NewMemory(inputs, targets []*tensor.Dense) (*Memory, error) {
	n := -1
	for _, t := range append(append([]*tensor.Dense(nil), inputs...), targets...) {
		if t.Dims() == 0 {
			return nil, fmt.Errorf("runner: a tensor of samples has no dimension")
		}
		if n < 0 {
			n = t.Shape()[0]
		}
		if t.Shape()[0] != n {
			return nil, fmt.Errorf("runner: tensors of %d and of %d samples in one source", n, t.Shape()[0])
		}
		switch t.Data().(type) {
		case []float32, []int64:
		default:
			return nil, fmt.Errorf("runner: samples are float32 or int64, not %v", t.Dtype())
		}
	}
	if n < 0 {
		return nil, fmt.Errorf("runner: a source needs a tensor")
	}
	return &Memory{inputs, targets}, nil
}

// Len is the number of samples.
func (m *Memory) Len() int { return append(m.inputs, m.targets...)[0].Shape()[0] }

// Read copies the samples idx into dst.
func (m *Memory) Read(dst *Batch, idx []int) error {
	if err := gather(&dst.Inputs, m.inputs, idx); err != nil {
		return err
	}
	return gather(&dst.Targets, m.targets, idx)
}

func gather(dst *[]*tensor.Dense, src []*tensor.Dense, idx []int) error {
	for len(*dst) < len(src) {
		*dst = append(*dst, nil)
	}
	for k, t := range src {
		d := Reuse((*dst)[k], t.Dtype(), len(idx), t.Shape()[1:])
		(*dst)[k] = d
		switch from := t.Data().(type) {
		case []float32:
			if err := rows(d.Data().([]float32), from, idx, t.Shape()[0]); err != nil {
				return err
			}
		case []int64:
			if err := rows(d.Data().([]int64), from, idx, t.Shape()[0]); err != nil {
				return err
			}
		}
	}
	return nil
}

func rows[T any](dst, src []T, idx []int, n int) error {
	size := len(src) / max(n, 1)
	for i, s := range idx {
		if s < 0 || s >= n {
			return fmt.Errorf("runner: sample %d of %d was asked for", s, n)
		}
		copy(dst[i*size:(i+1)*size], src[s*size:])
	}
	return nil
}

// Reuse returns t if it holds n samples of the given type and shape, else a new tensor that does. Sources
// use it to fill a Batch without allocating.
func Reuse(t *tensor.Dense, dt tensor.Dtype, n int, sample []int) *tensor.Dense {
	if t != nil && t.Dtype() == dt && len(t.Shape()) == len(sample)+1 && t.Shape()[0] == n && tensor.Shape(t.Shape()[1:]).Eq(tensor.Shape(sample)) {
		return t
	}
	return tensor.New(tensor.Of(dt), tensor.WithShape(append([]int{n}, sample...)...))
}
