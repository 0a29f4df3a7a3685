package dataset

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
)

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
