package dataset

import (
	"fmt"
	"io"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
)

// A Whitening makes samples comparable: Contrast takes each sample's mean off and divides by its standard deviation
// (global contrast normalisation); then, if there is a Matrix, x becomes Matrix (x - Mean). Fitted on training
// samples, that is ZCA:
//
//	Matrix = V diag(1/sqrt(lambda + Epsilon)) V'
//
// with the eigenvalues lambda and eigenvectors V of their covariance, which it makes nearly the identity while
// samples stay as much like themselves as that allows (Krizhevsky, "Learning Multiple Layers of Features from Tiny
// Images", 2009, appendix A).
type Whitening struct {
	Contrast bool
	Epsilon  float64
	Mean     []float32 // of all values of a sample
	Matrix   []float32 // symmetric, row-major; nil: contrast alone
}

// maxWhitened bounds the values of a sample: the time grows with the cube of them.
const maxWhitened = 6144

// contrastFloor keeps a sample of one grey from a division by nothing.
const contrastFloor = 1e-8

// FitWhitening fits a Whitening to the samples of s.
func (s *Set) FitWhitening(contrast bool, epsilon float64, threads int) (*Whitening, error) {
	n, d := s.Len(), s.Size()
	switch {
	case !(epsilon > 0):
		return nil, fmt.Errorf("dataset: %s: ZCA with %v added to the eigenvalues; it must be above 0, 0.1 for example", s.Name, epsilon)
	case d > maxWhitened:
		return nil, fmt.Errorf("dataset: %s: ZCA of samples of %d values; at most %d are whitened, because the time grows with the cube", s.Name, d, maxWhitened)
	case d < 2:
		return nil, fmt.Errorf("dataset: %s: samples of one value; there is nothing to whiten", s.Name)
	case n < 2:
		return nil, fmt.Errorf("dataset: %s: %d samples have no covariance", s.Name, n)
	}
	w := &Whitening{Contrast: contrast, Epsilon: epsilon}
	w.Mean = w.mean(s)
	covariance := s.covariance(w, threads)
	if d <= mostEigen {
		w.Matrix = inverseRoot(covariance, epsilon)
	} else {
		w.Matrix = newtonRoot(covariance, epsilon, parallel.New(threads))
	}
	if w.Matrix == nil {
		return nil, fmt.Errorf("dataset: %s: the covariance has no inverse square root with %v added to its eigenvalues; are all values finite? Else give a larger number", s.Name, epsilon)
	}
	return w, nil
}

// mean is that of the samples of s, each normalised.
func (w *Whitening) mean(s *Set) []float32 {
	sums, x, mean := make([]float64, s.Size()), make([]float32, s.Size()), make([]float32, s.Size())
	for i := range s.Len() {
		s.sample(x, i)
		w.normalise(x)
		for k, v := range x {
			sums[k] += float64(v)
		}
	}
	for k, v := range sums {
		mean[k] = float32(v / float64(s.Len()))
	}
	return mean
}

// Fitted tells whether w was fitted on the samples of s: whether their mean is its own.
func (w *Whitening) Fitted(s *Set) bool {
	return len(w.Mean) == s.Size() && slices.Equal(w.Mean, w.mean(s))
}

// covarianceRows are as many samples as are multiplied at a time, in float32; their sums are float64.
const covarianceRows = 2048

func (s *Set) covariance(w *Whitening, threads int) *mat.SymDense {
	n, d := s.Len(), s.Size()
	pool := parallel.New(threads)
	sum := mat.NewSymDense(d, nil)
	x, c := make([]float32, covarianceRows*d), make([]float32, d*d)
	for from := 0; from < n; from += covarianceRows {
		rows := min(covarianceRows, n-from)
		for i := range rows {
			row := x[i*d : (i+1)*d]
			s.sample(row, from+i)
			w.normalise(row)
			for k := range row {
				row[k] -= w.Mean[k]
			}
		}
		multiply(pool, &kernels.Gemm{TransA: true, M: d, N: d, K: rows, LDA: d, LDB: d, LDC: d}, c, x, x)
		for i := range d {
			for j := i; j < d; j++ {
				sum.SetSym(i, j, sum.At(i, j)+float64(c[i*d+j])/float64(n))
			}
		}
	}
	return sum
}

// normalise applies the contrast to one sample.
func (w *Whitening) normalise(x []float32) {
	if !w.Contrast {
		return
	}
	var mean, square float64
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	for _, v := range x {
		square += (float64(v) - mean) * (float64(v) - mean)
	}
	sd := math.Sqrt(square/float64(len(x))) + contrastFloor
	for k, v := range x {
		x[k] = float32((float64(v) - mean) / sd)
	}
}

// Apply makes the values of s what w makes of them; they are network inputs then, and s.Transform changes nothing.
func (w *Whitening) Apply(s *Set, threads int) error {
	n, d := s.Len(), s.Size()
	if w.Matrix != nil && (len(w.Mean) != d || len(w.Matrix) != d*d) {
		return fmt.Errorf("dataset: %s: samples of %d values, and the whitening was fitted on %d", s.Name, d, len(w.Mean))
	}
	pool := parallel.New(threads)
	out := make([]float32, n*d)
	x := make([]float32, min(n, covarianceRows)*d)
	for from := 0; from < n; from += covarianceRows {
		rows := min(covarianceRows, n-from)
		to := out[from*d : (from+rows)*d]
		in := to
		if w.Matrix != nil {
			in = x
		}
		for i := range rows {
			row := in[i*d : (i+1)*d]
			s.sample(row, from+i)
			w.normalise(row)
			if w.Matrix != nil {
				for k := range row {
					row[k] -= w.Mean[k]
				}
			}
		}
		if w.Matrix != nil {
			multiply(pool, &kernels.Gemm{M: rows, N: d, K: d, LDA: d, LDB: d, LDC: d}, to, in, w.Matrix)
		}
	}
	s.Bytes, s.Ints, s.Floats = nil, nil, out
	return s.Use(Transform{})
}

// Write writes w as an NPY file of shape (d+2, d) for samples of d values, at least 2: a row with epsilon, 1 if the contrast is
// normalised, and zeros; the mean; the matrix.
func (w *Whitening) Write(to io.Writer) error {
	d := len(w.Mean)
	head := make([]float32, d, (d+2)*d)
	if head[0] = float32(w.Epsilon); w.Contrast {
		head[1] = 1
	}
	return WriteNPY(to, []int{d + 2, d}, append(append(head, w.Mean...), w.Matrix...))
}

// ReadWhitening reads what Write wrote.
func ReadWhitening(path string) (*Whitening, error) {
	a, _, err := readPath(path)
	if err != nil {
		return nil, err
	}
	if len(a.Shape) != 2 || a.Shape[1] < 2 || a.Shape[0] != a.Shape[1]+2 || a.Floats == nil {
		return nil, fmt.Errorf("dataset: %s: shape %v is not that of a whitening, floats of (d+2, d)", path, a.Shape)
	}
	d, f := a.Shape[1], a.Floats
	return &Whitening{Contrast: f[1] == 1, Epsilon: float64(f[0]), Mean: f[d : 2*d], Matrix: f[2*d:]}, nil
}
