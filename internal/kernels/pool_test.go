package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// randomPool draws a pooling and a plane for it.
func randomPool(r *rand.Rand) (p *Pool, planes int) {
	for {
		p = &Pool{H: 1 + r.IntN(9), W: 1 + r.IntN(30), KH: 1 + r.IntN(4), KW: 1 + r.IntN(4), StrideH: 1 + r.IntN(4), StrideW: 1 + r.IntN(4),
			DilationH: 1 + r.IntN(2), DilationW: 1 + r.IntN(2), CountPad: r.IntN(2) == 0}
		p.PadTop, p.PadBottom, p.PadLeft, p.PadRight = r.IntN(p.KH), r.IntN(p.KH), r.IntN(p.KW), r.IntN(p.KW)
		switch r.IntN(4) {
		case 0: // as networks overlap them
			p.KH, p.KW, p.StrideW, p.DilationH, p.DilationW = 3, 3, 1+r.IntN(3), 1, 1
			p.PadTop, p.PadBottom, p.PadLeft, p.PadRight = r.IntN(3), r.IntN(3), r.IntN(3), r.IntN(3)
		case 1, 2:
			// Side by side, with a rest or without.
			k := 1 + r.IntN(4)
			p = &Pool{H: p.H + k, W: p.W + k, KH: k, KW: k, StrideH: k, StrideW: k, DilationH: 1, DilationW: 1}
			if r.IntN(2) == 0 {
				p.H += k - p.H%k
			}
		}
		h := p.H + p.PadTop + p.PadBottom - (p.KH-1)*p.DilationH - 1
		w := p.W + p.PadLeft + p.PadRight - (p.KW-1)*p.DilationW - 1
		if h >= 0 && w >= 0 {
			p.OH, p.OW = h/p.StrideH+1, w/p.StrideW+1
			return p, 1 + r.IntN(3)
		}
	}
}

// TestMaxPool compares with a scan of the whole plane for each window, on few different values (ties)
// and NaN.
func TestMaxPool(t *testing.T) {
	eachLevel(t, testMaxPool)
}

func testMaxPool(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 1000 {
		p, planes := randomPool(r)
		x := guarded(t, make([]float32, planes*p.H*p.W))
		nan := r.IntN(3) == 0
		for i := range x {
			x[i] = float32(r.IntN(5) - 2)
			if nan && r.IntN(20) == 0 {
				x[i] = float32(math.NaN())
			}
		}
		dy := guarded(t, make([]float32, planes*p.OH*p.OW))
		wantY, wantDX := make([]float32, len(dy)), make([]float32, len(x))
		for i := range dy {
			dy[i] = float32(1 + r.IntN(9))
			plane, row, col := i/(p.OH*p.OW), i/p.OW%p.OH, i%p.OW
			best, at := float32(math.Inf(-1)), -1
			for j := range p.H * p.W {
				h, w := j/p.W-row*p.StrideH+p.PadTop, j%p.W-col*p.StrideW+p.PadLeft
				if h < 0 || w < 0 || h%p.DilationH != 0 || w%p.DilationW != 0 || h/p.DilationH >= p.KH || w/p.DilationW >= p.KW {
					continue
				}
				if v := x[plane*p.H*p.W+j]; v > best || v != v {
					best, at = v, plane*p.H*p.W+j
				}
			}
			if wantY[i] = best; at >= 0 {
				wantDX[at] += dy[i]
			}
		}
		y, dx := guarded(t, nans[float32](len(dy))), guarded(t, nans[float32](len(x)))
		MaxPool(p, y, x)
		MaxPoolGrad(p, dx, dy, x, y)
		for i, v := range y {
			if v != wantY[i] && (v == v || wantY[i] == wantY[i]) {
				t.Fatalf("%+v: y[%d] = %v, want %v", *p, i, v, wantY[i])
			}
		}
		for i, v := range dx {
			if v != wantDX[i] {
				t.Fatalf("%+v: dx[%d] = %v, want %v", *p, i, v, wantDX[i])
			}
		}
	}
}

// TestAveragePool compares with a scan of the whole plane for each window, in float64.
func TestAveragePool(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 8))
		for k := range 1000 {
			p, planes := randomPool(r)
			if k%50 == 0 {
				// Wider than the intermediate rows.
				p = &Pool{H: 2, W: 5000 + r.IntN(99), KH: 2, KW: 3, OH: 1, OW: 2499, StrideH: 1, StrideW: 2, DilationH: 1, DilationW: 1, PadLeft: r.IntN(2)}
			}
			testAveragePool[float32](t, r, p, planes, 0x1p-23)
			testAveragePool[float64](t, r, p, planes, 0x1p-52)
		}
	})
}

func testAveragePool[T Float](t *testing.T, r *rand.Rand, p *Pool, planes int, eps float64) {
	x, dy := guarded(t, normal[T](r, planes*p.H*p.W)), guarded(t, normal[T](r, planes*p.OH*p.OW))
	wantY, wantDX := make([]float64, len(dy)), make([]float64, len(x))
	sizeY, sizeDX := make([]float64, len(dy)), make([]float64, len(x))
	for i := range dy {
		plane, row, col := i/(p.OH*p.OW), i/p.OW%p.OH, i%p.OW
		var in []int
		count := 0
		for u := range p.KH {
			for v := range p.KW {
				h, w := row*p.StrideH+u*p.DilationH-p.PadTop, col*p.StrideW+v*p.DilationW-p.PadLeft
				inside := h >= 0 && w >= 0 && h < p.H && w < p.W
				if inside {
					in = append(in, plane*p.H*p.W+h*p.W+w)
				}
				if inside || p.CountPad && h < p.H+p.PadBottom && w < p.W+p.PadRight {
					count++
				}
			}
		}
		for _, at := range in {
			wantY[i] += float64(x[at]) / float64(count)
			sizeY[i] += math.Abs(float64(x[at])) / float64(count)
			wantDX[at] += float64(dy[i]) / float64(count)
			sizeDX[at] += math.Abs(float64(dy[i])) / float64(count)
		}
	}
	y, dx := guarded(t, nans[T](len(dy))), guarded(t, nans[T](len(x)))
	AveragePool(p, y, x)
	AveragePoolGrad(p, dx, dy)
	bound := eps * float64(p.KH*p.KW+1)
	for i, v := range y {
		if !(math.Abs(float64(v)-wantY[i]) <= bound*sizeY[i]) {
			t.Fatalf("%+v: y[%d] = %v, want %v", *p, i, v, wantY[i])
		}
	}
	for i, v := range dx {
		if !(math.Abs(float64(v)-wantDX[i]) <= bound*sizeDX[i]) {
			t.Fatalf("%+v: dx[%d] = %v, want %v", *p, i, v, wantDX[i])
		}
	}
}

func BenchmarkPool(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, s := range [][5]int{{128 * 20, 24, 3, 3, 0}, {128 * 50, 4, 2, 2, 0}, {128, 112, 3, 2, 1}} {
		n, size, k, stride, pad := s[0], s[1], s[2], s[3], s[4]
		out := (size+2*pad-k)/stride + 1
		p := &Pool{H: size, W: size, KH: k, KW: k, OH: out, OW: out, StrideH: stride, StrideW: stride, DilationH: 1, DilationW: 1,
			PadTop: pad, PadLeft: pad, PadBottom: pad, PadRight: pad}
		x, y := normal[float32](r, n*size*size), normal[float32](r, n*p.OH*p.OW)
		dx := make([]float32, len(x))
		b.Run(fmt.Sprintf("%dx%d,%d/max", k, k, stride), func(b *testing.B) {
			for b.Loop() {
				MaxPool(p, y, x)
			}
		})
		b.Run(fmt.Sprintf("%dx%d,%d/maxgrad", k, k, stride), func(b *testing.B) {
			for b.Loop() {
				MaxPoolGrad(p, dx, y, x, y)
			}
		})
		b.Run(fmt.Sprintf("%dx%d,%d/average", k, k, stride), func(b *testing.B) {
			for b.Loop() {
				AveragePool(p, y, x)
			}
		})
		b.Run(fmt.Sprintf("%dx%d,%d/averagegrad", k, k, stride), func(b *testing.B) {
			for b.Loop() {
				AveragePoolGrad(p, dx, y)
			}
		})
	}
}
