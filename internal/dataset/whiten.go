package dataset

import (
	"fmt"
	"io"
	"math"

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
	case n < 2:
		return nil, fmt.Errorf("dataset: %s: %d samples have no covariance", s.Name, n)
	}
	w := &Whitening{Contrast: contrast, Epsilon: epsilon, Mean: make([]float32, d)}
	sums := make([]float64, d)
	x := make([]float32, d)
	for i := range n {
		s.sample(x, i)
		w.normalise(x)
		for k, v := range x {
			sums[k] += float64(v)
		}
	}
	for k, v := range sums {
		w.Mean[k] = float32(v / float64(n))
	}
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

// inverseRoot is V diag(1/sqrt(lambda + epsilon)) V' of a covariance; nil if it is not found.
func inverseRoot(covariance *mat.SymDense, epsilon float64) []float32 {
	var e mat.EigenSym
	if !e.Factorize(covariance, true) {
		return nil
	}
	var v, scaled, m mat.Dense
	e.VectorsTo(&v)
	lambda := e.Values(nil)
	scaled.Apply(func(_, j int, x float64) float64 { return x / math.Sqrt(max(0, lambda[j])+epsilon) }, &v)
	m.Mul(&scaled, v.T())
	d := len(lambda)
	w := make([]float32, d*d)
	for i := range d {
		for j := range d {
			w[i*d+j] = float32((m.At(i, j) + m.At(j, i)) / 2)
		}
	}
	return w
}

const (
	// mostEigen is how many values are whitened by eigenvectors. Those of gonum take minutes for 1,536; the
	// products of newtonRoot take seconds.
	mostEigen = 512
	// newtonSteps is more than the iteration takes where float32 can tell epsilon from nothing.
	newtonSteps = 40
)

// newtonRoot is inverseRoot by matrix products in float32: the coupled iteration of Newton and Schulz (Higham, "Functions of
// Matrices", 2008, section 6.3),
//
//	R = I - Z Y   Y <- Y (I + R/2)   Z <- (I + R/2) Z
//
// from Y = A, Z = I, where A is the covariance with epsilon on its diagonal, divided by its largest eigenvalue; Z
// becomes its inverse square root, Z A Z = I. Of CIFAR-10's training images (3,072 values, eigenvalues up to 475) with
// epsilon 0.1 no element of Z A Z is farther than 3e-5 from I; fitting takes 22 s on two cores (Zen 4).
func newtonRoot(covariance *mat.SymDense, epsilon float64, pool *parallel.Pool) []float32 {
	d := covariance.SymmetricDim()
	top := 1.01*largestEigenvalue(covariance) + epsilon
	if math.IsNaN(top) || math.IsInf(top, 0) {
		return nil
	}
	y, z, r, next := make([]float32, d*d), make([]float32, d*d), make([]float32, d*d), make([]float32, d*d)
	for i := range d {
		for j := range d {
			y[i*d+j] = float32(covariance.At(i, j) / top)
		}
		y[i*d+i] = float32((covariance.At(i, i) + epsilon) / top)
		z[i*d+i] = 1
	}
	g := &kernels.Gemm{M: d, N: d, K: d, LDA: d, LDB: d, LDC: d}
	before := math.Inf(1)
	for range newtonSteps {
		multiply(pool, g, r, z, y)
		var residual float64
		for k, v := range r {
			v = -v
			if k%(d+1) == 0 {
				v++
			}
			residual = max(residual, math.Abs(float64(v)))
			if v /= 2; k%(d+1) == 0 {
				v++
			}
			r[k] = v
		}
		if residual != residual || residual > 1e3 {
			return nil
		}
		if residual < 1e-2 && residual > before/2 { // as near as float32 gets
			scale := float32(1 / math.Sqrt(top))
			for k := range z {
				z[k] *= scale
			}
			symmetric(z, d)
			return z
		}
		before = residual
		multiply(pool, g, next, y, r)
		y, next = next, y
		multiply(pool, g, next, r, z)
		z, next = next, z
	}
	return nil
}

func symmetric(m []float32, d int) {
	for i := range d {
		for j := range i {
			v := (m[i*d+j] + m[j*d+i]) / 2
			m[i*d+j], m[j*d+i] = v, v
		}
	}
}

// largestEigenvalue is that of a covariance to a percent, by powers.
func largestEigenvalue(a *mat.SymDense) float64 {
	d := a.SymmetricDim()
	x := mat.NewVecDense(d, nil)
	for i := range d {
		x.SetVec(i, 1+float64(i%7)/7)
	}
	norm := 0.0
	for range 50 {
		x.MulVec(a, x)
		if norm = mat.Norm(x, 2); norm == 0 {
			return 0
		}
		x.ScaleVec(1/norm, x)
	}
	return norm
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
	s.Bytes, s.Floats = nil, out
	return s.Use(Transform{})
}

// matrixProduct is a product that a pool runs.
type matrixProduct struct {
	g       *kernels.Gemm
	phase   int
	c, a, b []float32
	shared  []float32
	worker  [][]float32
}

func multiply(pool *parallel.Pool, g *kernels.Gemm, c, a, b []float32) {
	shared, worker := g.Scratch()
	p := &matrixProduct{g: g, c: c, a: a, b: b, shared: make([]float32, shared)}
	for range pool.Threads() {
		p.worker = append(p.worker, make([]float32, worker))
	}
	for phase, parts := range g.Phases() {
		p.phase = phase
		pool.Run(parts, p)
	}
}

// Part implements parallel.Task.
func (p *matrixProduct) Part(worker, part int) {
	kernels.GemmPart(p.g, p.phase, part, p.c, p.a, p.b, p.shared, p.worker[worker])
}

// Write writes the fitted numbers as an NPY file of shape (d+1, d): the mean, then the matrix.
func (w *Whitening) Write(to io.Writer) error {
	d := len(w.Mean)
	return WriteNPY(to, []int{d + 1, d}, append(append(make([]float32, 0, (d+1)*d), w.Mean...), w.Matrix...))
}

// ReadWhitening reads what Write wrote.
func ReadWhitening(path string) (mean, matrix []float32, err error) {
	a, _, err := readPath(path)
	if err != nil {
		return nil, nil, err
	}
	if len(a.Shape) != 2 || a.Shape[0] != a.Shape[1]+1 || a.Floats == nil {
		return nil, nil, fmt.Errorf("dataset: %s: shape %v is not that of a whitening, floats of (d+1, d)", path, a.Shape)
	}
	d := a.Shape[1]
	return a.Floats[:d], a.Floats[d:], nil
}
