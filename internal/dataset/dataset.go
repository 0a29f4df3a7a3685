// Package dataset reads samples and text from files into memory, makes them comparable, draws mini-batches of them, and makes
// the built-in digits.
//
// Open finds out what a path holds and gives a Data: a training and a test Set. A Set keeps its samples as
// they were stored, as bytes or float32, and Fill converts the ones asked for. A Sampler says which ones
// these are. A Whitening replaces what is stored; its products go through package kernels, for which they take seconds.
//
// OpenText does the same for text, and a Vocabulary numbers its symbols.
package dataset

import (
	"fmt"
	"math"
)

// Data is what a path holds. A single file gives Train only; others may lack any part, not all.
type Data struct {
	Train, Valid, Test *Set

	Split Split // how Cut has made the parts; zero if they came as they are
}

// A Set is a number of samples of equal shape, with labels, with target values, or with neither. Its
// methods only read, but for Use, so that several goroutines may call them.
//
// Samples for a network of several inputs are a Set of its Inputs, whose own Shape and values are empty.
type Set struct {
	Name  string // the files it comes from
	Shape []int  // of one sample, without the axis of the samples; the channels of an image come first

	Bytes  []byte    // the values of all samples, one after another,
	Floats []float32 // in one
	Ints   []int64   // of these three

	Inputs []*Set // one for each input, without labels; nil if there is one

	Labels     []int64 // class numbers, or nil
	LabelShape []int   // of the labels of one sample; nil: a single label
	Classes    int     // 1 + the largest label, or len(ClassNames); 0 without labels

	ClassNames []string // what the labels stand for; nil if they are numbers in the file
	Columns    []string // names of the values of a sample from a table; nil for others

	Targets     []float32 // values to be regressed, or nil
	TargetShape []int     // of the targets of one sample

	transform Transform
	table     []float32 // for Bytes: (channels, 256), what each byte value becomes
}

// A Transform makes network inputs of stored values: (v*Scale - Mean) / Std.
type Transform struct {
	Scale float64   // 0: 1/255 for bytes, 1 for others
	Mean  []float64 // one, or one for each channel, that is, index of a sample's first axis; nil: 0
	Std   []float64 // the same; nil: 1
}

// Len is the number of samples.
func (s *Set) Len() int {
	if s.Inputs != nil {
		return s.Inputs[0].Len()
	}
	return (len(s.Bytes) + len(s.Floats) + len(s.Ints)) / max(1, s.Size())
}

// Each returns the set itself, or the sets of its Inputs.
func (s *Set) Each() []*Set {
	if s.Inputs != nil {
		return s.Inputs
	}
	return []*Set{s}
}

// Size is the number of values in a sample.
func (s *Set) Size() int { return product(s.Shape) }

// Transform is the one in use, with its defaults filled in.
func (s *Set) Transform() Transform {
	t := s.transform
	if t.Scale == 0 {
		t.Scale = 1
		if s.Bytes != nil {
			t.Scale = 1.0 / 255
		}
	}
	if len(t.Mean) == 0 {
		t.Mean = []float64{0}
	}
	if len(t.Std) == 0 {
		t.Std = []float64{1}
	}
	return t
}

// Use makes t the transform of s.
func (s *Set) Use(t Transform) error {
	channels := s.channels()
	for _, p := range []struct {
		what string
		v    []float64
	}{{"scale", []float64{t.Scale}}, {"mean", t.Mean}, {"std", t.Std}} {
		if n := len(p.v); n > 1 && n != channels {
			return fmt.Errorf("dataset: %s: %d values of %s for samples of shape %v; give one or %d", s.Name, n, p.what, s.Shape, channels)
		}
		for _, v := range p.v {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("dataset: %s: %s is %g, not a finite number", s.Name, p.what, v)
			}
			if p.what == "std" && v <= 0 {
				return fmt.Errorf("dataset: %s: std is %g; it must be positive", s.Name, v)
			}
		}
	}
	s.transform = t
	s.table = nil
	if s.Bytes == nil {
		return nil
	}
	t = s.Transform()
	s.table = make([]float32, channels*256)
	for i := range s.table {
		s.table[i] = t.of(float64(i%256), i/256)
	}
	return nil
}

// Fill writes the transformed values of the samples idx, one after another, to x, and their labels to y
// unless y is empty. The slices must have just the length that this takes. It does not allocate.
func (s *Set) Fill(x []float32, y []int64, idx []int) error {
	size := s.Size()
	if err := s.fits(len(x), idx); err != nil {
		return err
	}
	for k, i := range idx {
		s.sample(x[k*size:(k+1)*size], i)
	}
	if len(y) == 0 {
		return nil
	}
	return s.FillLabels(y, idx)
}

// FillInts writes the values of the samples idx, which are integers or bytes, to x as they are stored. The slice must have
// just the length that this takes.
func (s *Set) FillInts(x []int64, idx []int) error {
	if err := s.fits(len(x), idx); err != nil {
		return err
	}
	if s.Floats != nil {
		return fmt.Errorf("dataset: %s: holds floats where integers are wanted", s.Name)
	}
	size := s.Size()
	for k, i := range idx {
		to := x[k*size : (k+1)*size]
		if s.Ints != nil {
			copy(to, s.Ints[i*size:])
			continue
		}
		for j, v := range s.Bytes[i*size : (i+1)*size] {
			to[j] = int64(v)
		}
	}
	return nil
}

// fits fails if n values are not those of the samples idx.
func (s *Set) fits(n int, idx []int) error {
	if n != len(idx)*s.Size() || s.Inputs != nil {
		return fmt.Errorf("dataset: %s: %d samples of shape %v don't fill %d values", s.Name, len(idx), s.Shape, n)
	}
	return s.check(idx)
}

// FillLabels writes the labels of the samples idx to y, whose length must be just what they take.
func (s *Set) FillLabels(y []int64, idx []int) error {
	labels := product(s.LabelShape)
	if s.Labels == nil {
		return fmt.Errorf("dataset: %s: has no labels", s.Name)
	}
	if len(y) != len(idx)*labels {
		return fmt.Errorf("dataset: %s: %d samples of label shape %v don't fill %d labels", s.Name, len(idx), s.LabelShape, len(y))
	}
	if err := s.check(idx); err != nil {
		return err
	}
	for k, i := range idx {
		copy(y[k*labels:(k+1)*labels], s.Labels[i*labels:])
	}
	return nil
}

// FillTargets writes the target values of the samples idx to t, whose length must be just what they take.
func (s *Set) FillTargets(t []float32, idx []int) error {
	size := product(s.TargetShape)
	if s.Targets == nil {
		return fmt.Errorf("dataset: %s: has no target values", s.Name)
	}
	if len(t) != len(idx)*size {
		return fmt.Errorf("dataset: %s: %d samples of target shape %v don't fill %d values", s.Name, len(idx), s.TargetShape, len(t))
	}
	if err := s.check(idx); err != nil {
		return err
	}
	for k, i := range idx {
		copy(t[k*size:(k+1)*size], s.Targets[i*size:])
	}
	return nil
}

func (s *Set) check(idx []int) error {
	n := s.Len()
	for _, i := range idx {
		if i < 0 || i >= n {
			return fmt.Errorf("dataset: %s: sample %d is not among the %d", s.Name, i, n)
		}
	}
	return nil
}

// sample writes sample i to dst.
func (s *Set) sample(dst []float32, i int) {
	channels := s.channels()
	plane := len(dst) / channels
	for c := range channels {
		out := dst[c*plane : (c+1)*plane]
		at := i*len(dst) + c*plane
		switch {
		case s.table != nil:
			t := s.table[c*256 : (c+1)*256]
			for k, v := range s.Bytes[at : at+plane] {
				out[k] = t[v]
			}
		case s.Bytes != nil:
			for k, v := range s.Bytes[at : at+plane] {
				out[k] = s.transform.orBytes().of(float64(v), c)
			}
		case s.Ints != nil:
			for k, v := range s.Ints[at : at+plane] {
				out[k] = s.transform.of(float64(v), c)
			}
		default:
			for k, v := range s.Floats[at : at+plane] {
				out[k] = s.transform.of(float64(v), c)
			}
		}
	}
}

func (s *Set) channels() int {
	if len(s.Shape) == 0 {
		return 1
	}
	return max(1, s.Shape[0])
}

// orBytes is t with the default scale of bytes.
func (t Transform) orBytes() Transform {
	if t.Scale == 0 {
		t.Scale = 1.0 / 255
	}
	return t
}

// of computes in float64 and rounds once; the conversions keep a compiler from fusing the operations, so
// that every platform gets the same values.
func (t Transform) of(v float64, channel int) float32 {
	if t.Scale != 0 {
		v = float64(v * t.Scale)
	}
	if len(t.Mean) > 0 {
		v = float64(v - t.Mean[min(channel, len(t.Mean)-1)])
	}
	if len(t.Std) > 0 {
		v /= t.Std[min(channel, len(t.Std)-1)]
	}
	return float32(v)
}

// product of the dimensions; 1 for none.
func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
