package dataset

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
)

// correlated are samples of 3x2x2 whose values depend on each other, as bytes.
func correlated(n int) *Set {
	r := rand.New(rand.NewPCG(3, 4))
	s := &Set{Name: "test", Shape: []int{3, 2, 2}}
	for range n {
		common := r.NormFloat64() * 30
		for k := range 12 {
			s.Bytes = append(s.Bytes, byte(min(255, max(0, 128+common+float64(k)*r.NormFloat64()*2+3*r.NormFloat64()))))
		}
	}
	if err := s.Use(Transform{}); err != nil {
		panic(err)
	}
	return s
}

func covarianceOf(s *Set) (c [12][12]float64, mean [12]float64) {
	n := s.Len()
	x := make([]float32, 12*n)
	idx := make([]int, n)
	for i := range idx {
		idx[i] = i
	}
	if err := s.Fill(x, nil, idx); err != nil {
		panic(err)
	}
	for i, v := range x {
		mean[i%12] += float64(v) / float64(n)
	}
	for i := range n {
		for j := range 12 {
			for k := range 12 {
				c[j][k] += (float64(x[12*i+j]) - mean[j]) * (float64(x[12*i+k]) - mean[k]) / float64(n)
			}
		}
	}
	return c, mean
}

// Whitened samples have the identity for their covariance, but for epsilon, and mean 0; more samples than are
// multiplied at a time.
func TestWhitening(t *testing.T) {
	for _, threads := range []int{1, 3} {
		s := correlated(3000)
		w, err := s.FitWhitening(false, 1e-9, threads)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 12 {
			for j := range i {
				if w.Matrix[12*i+j] != w.Matrix[12*j+i] {
					t.Fatal("the matrix is not symmetric: it is another whitening, but not ZCA")
				}
			}
		}
		if err := w.Apply(s, threads); err != nil {
			t.Fatal(err)
		}
		c, mean := covarianceOf(s)
		for i := range 12 {
			if math.Abs(mean[i]) > 1e-4 {
				t.Errorf("mean %v at %d", mean[i], i)
			}
			for j := range 12 {
				want := 0.0
				if i == j {
					want = 1
				}
				if math.Abs(c[i][j]-want) > 1e-3 { // of float32, the eigenvalues being apart by a factor of 1000
					t.Errorf("covariance %v at %d, %d", c[i][j], i, j)
				}
			}
		}
	}
}

// Contrast gives every sample mean 0 and standard deviation 1, and one without contrast zeros.
func TestContrast(t *testing.T) {
	s := correlated(50)
	for k := range 12 {
		s.Bytes[k] = 77
	}
	w := &Whitening{Contrast: true}
	if err := w.Apply(s, 1); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		var sum, square float64
		for _, v := range s.Floats[12*i : 12*i+12] {
			sum += float64(v)
			square += float64(v) * float64(v)
		}
		want := 12.0
		if i == 0 {
			want = 0
		}
		if math.Abs(sum) > 1e-5 || math.Abs(square-want) > 1e-4 {
			t.Errorf("sample %d: sum %v, sum of squares %v", i, sum, square)
		}
	}
}

func TestWhiteningFile(t *testing.T) {
	s := correlated(100)
	w, err := s.FitWhitening(true, 0.1, 1)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := w.Write(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "w.npy")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := ReadWhitening(path)
	if err != nil {
		t.Fatal(err)
	}
	if !again.Contrast || float32(again.Epsilon) != 0.1 || !again.Fitted(correlated(100)) || again.Fitted(correlated(99)) {
		t.Errorf("contrast %v, epsilon %v", again.Contrast, again.Epsilon)
	}
	one, two := correlated(20), correlated(20)
	if err := w.Apply(one, 1); err != nil {
		t.Fatal(err)
	}
	if err := again.Apply(two, 2); err != nil {
		t.Fatal(err)
	}
	for i, v := range one.Floats {
		if two.Floats[i] != v {
			t.Fatalf("value %d is %v, and %v from the file", i, v, two.Floats[i])
		}
	}
	if err := again.Apply(&Set{Name: "other", Shape: []int{5}, Floats: make([]float32, 10)}, 1); err == nil {
		t.Error("samples of another size are whitened")
	}
	if _, err := s.FitWhitening(false, 0, 1); err == nil {
		t.Error("epsilon 0 is no error")
	}
}

// The iteration gives what eigenvectors give.
func TestNewtonRoot(t *testing.T) {
	const d = 40
	r := rand.New(rand.NewPCG(7, 8))
	s := &Set{Name: "test", Shape: []int{d}}
	for range 500 {
		common := r.NormFloat64()
		for k := range d {
			s.Floats = append(s.Floats, float32(3*common+r.NormFloat64()/float64(k+1)))
		}
	}
	w := &Whitening{Mean: make([]float32, d)}
	covariance := s.covariance(w, 1)
	want := inverseRoot(covariance, 0.1)
	var got []float32
	for _, threads := range []int{1, 3} {
		again := newtonRoot(covariance, 0.1, parallel.New(threads))
		if got != nil && !slices.Equal(got, again) {
			t.Error("the result depends on the number of threads")
		}
		got = again
	}
	for i, v := range want {
		if math.Abs(float64(got[i]-v)) > 1e-4 {
			t.Fatalf("element %d is %v, by eigenvectors %v", i, got[i], v)
		}
	}
	covariance.SetSym(1, 2, math.NaN())
	if newtonRoot(covariance, 0.1, parallel.New(1)) != nil {
		t.Error("a covariance of NaN has a root")
	}
}
