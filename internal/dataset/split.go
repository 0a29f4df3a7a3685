package dataset

import (
	"fmt"
	"slices"
)

// splitSeed is that of the order in which samples go to the parts: one split of a data set, whatever the seed of a run.
const splitSeed = 1

// Cut gives parts of the training samples, drawn at random, to validation and test. Data that come with parts of
// their own are not cut.
func (d *Data) Cut(split Split) error {
	if d.Train == nil || d.Valid != nil || d.Test != nil {
		return fmt.Errorf("dataset: the data have training and test parts of their own and are not split")
	}
	s := d.Train
	n := s.Len()
	order, err := NewShuffle(n, n, splitSeed, true)
	if err != nil {
		return err
	}
	idx := order.Batch(0)
	second := n - int(float64(n)*split.Test+0.5)
	first := max(0, second-int(float64(n)*split.Valid+0.5))
	if first == 0 {
		return fmt.Errorf("dataset: %s: a split of %d samples leaves none for training", s.Name, n)
	}
	d.Split = split
	d.Train = s.subset("training", idx[:first])
	if second > first {
		d.Valid = s.subset("validation", idx[first:second])
	}
	if n > second {
		d.Test = s.subset("test", idx[second:])
	}
	return nil
}

// subset copies samples, in their order in the file.
func (s *Set) subset(what string, idx []int) *Set {
	idx = slices.Sorted(slices.Values(idx))
	c := *s
	c.Name = fmt.Sprintf("%s part of %s", what, s.Name)
	c.Bytes = rowsOf(s.Bytes, idx, s.Len())
	c.Floats = rowsOf(s.Floats, idx, s.Len())
	c.Ints = rowsOf(s.Ints, idx, s.Len())
	c.Inputs = nil
	for _, in := range s.Inputs {
		c.Inputs = append(c.Inputs, in.subset(what, idx))
	}
	c.Labels = rowsOf(s.Labels, idx, s.Len())
	c.Targets = rowsOf(s.Targets, idx, s.Len())
	return &c
}

func rowsOf[T any](src []T, idx []int, n int) []T {
	if src == nil {
		return nil
	}
	size := len(src) / n
	dst := make([]T, 0, len(idx)*size)
	for _, i := range idx {
		dst = append(dst, src[i*size:(i+1)*size]...)
	}
	return dst
}
