package dataset

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image"
	"math"
	"runtime"
	"testing"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

func digits(t testing.TB, seed uint64, train, test int) (*Set, *Set) {
	t.Helper()
	a, b, err := Digits(seed, train, test)
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// The images are a promise: models and published numbers refer to them. A change of the recorded sum needs
// a line in the changelog.
func TestDigitsGolden(t *testing.T) {
	train, test := digits(t, 1, 240, 240)
	for _, c := range []struct {
		s    *Set
		want string
	}{
		{train, "05af459f81bd1bd752abd5ac645c7771a61c6c8f69a7e4d7d46bf04bb77a7023"},
		{test, "c8270967ae4f112812b37bfdbf9228cda98a8ad2e6090becc43e5e309248f3ac"},
	} {
		if got := fmt.Sprintf("%x", sha256.Sum256(c.s.Bytes)); got != c.want {
			t.Errorf("%s: sum %s, want %s", c.s.Name, got, c.want)
		}
	}
}

func TestDigitsPure(t *testing.T) {
	train, test := digits(t, 5, 230, 120)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one, shorter := digits(t, 5, 230, 70)
	if !bytes.Equal(train.Bytes, one.Bytes) {
		t.Error("the images depend on the number of threads")
	}
	if !bytes.Equal(test.Bytes[:len(shorter.Bytes)], shorter.Bytes) {
		t.Error("the images depend on how many are made")
	}
	if other, _ := digits(t, 6, 230, 0); bytes.Equal(other.Bytes, train.Bytes) {
		t.Error("the images don't depend on the seed")
	}
	seen := map[string]bool{}
	for _, s := range []*Set{train, test} {
		for i := range s.Len() {
			seen[string(s.Bytes[i*784:(i+1)*784])] = true
			if s.Labels[i] != int64(i%10) {
				t.Fatalf("%s: label %d is %d", s.Name, i, s.Labels[i])
			}
		}
	}
	if len(seen) != 350 {
		t.Errorf("%d different images in two sets of 350 together", len(seen))
	}
}

// The sign of a glyph's distance agrees with x/image's own rasteriser, which draws the digit large.
func TestGlyphAgainstRasteriser(t *testing.T) {
	const size = 400.0
	for k, ttf := range fonts() {
		f, err := opentype.Parse(ttf)
		if err != nil {
			t.Fatal(err)
		}
		face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
		if err != nil {
			t.Fatal(err)
		}
		for r := '0'; r <= '9'; r++ {
			var g glyph
			if err := g.draw(ttf, r); err != nil {
				t.Fatal(err)
			}
			m := image.NewAlpha(image.Rect(-200, -500, 600, 200))
			d := font.Drawer{Dst: m, Src: image.Opaque, Face: face, Dot: fixed.Point26_6{}}
			d.DrawString(string(r))
			box := bounds(m)
			height := float64(box.Dy())
			cx, cy := float64(box.Min.X+box.Max.X)/2, float64(box.Min.Y+box.Max.Y)/2
			inside, wrong := 0, 0
			for i, distance := range g {
				x := cx + height*(-glyphHalf+glyphStep*float64(i%glyphSide))
				y := cy + height*(-glyphHalf+glyphStep*float64(i/glyphSide))
				drawn := m.AlphaAt(int(math.Floor(x)), int(math.Floor(y))).A
				if drawn == 255 {
					inside++
				}
				// At the edge, within two pixels of some 290, the two may differ.
				if math.Abs(float64(distance)) > 2/height && (distance > 0) != (drawn > 127) {
					wrong++
				}
			}
			if wrong > 0 || inside < 100 {
				t.Errorf("font %d digit %c: %d points are on the wrong side, %d inside", k, r, wrong, inside)
			}
		}
	}
}

// bounds is the smallest rectangle around all pixels that are at least half covered.
func bounds(m *image.Alpha) (r image.Rectangle) {
	for y := m.Rect.Min.Y; y < m.Rect.Max.Y; y++ {
		for x := m.Rect.Min.X; x < m.Rect.Max.X; x++ {
			if m.AlphaAt(x, y).A > 127 {
				r = r.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return r
}

// The data is worth a network: softmax regression, trained by plain gradient descent until it no longer
// improves, learns something but stays below 95 %.
func TestDigitsDefeatLinearClassifier(t *testing.T) {
	train, test := digits(t, 1, 4000, 1000)
	accuracy := softmaxRegression(train, test)
	t.Logf("accuracy %.1f %%", 100*accuracy)
	if accuracy < 0.5 || accuracy >= 0.95 {
		t.Errorf("a linear classifier gets %.1f %% right; want 50 to 95", 100*accuracy)
	}
}

func softmaxRegression(train, test *Set) float64 {
	const pixels, epochs, batch, decay = 784, 15, 20, 1e-4
	var w [10][pixels + 1]float32 // the last is the bias
	scores := func(x []byte) (z [10]float32) {
		for c := range z {
			for i, v := range x {
				z[c] += w[c][i] * float32(v) / 255
			}
			z[c] += w[c][pixels]
		}
		return z
	}
	for epoch := range epochs {
		rate := float32(0.1 / (1 + float64(epoch)/3))
		for from := 0; from < train.Len(); from += batch {
			var g [10][pixels + 1]float32
			for k := from; k < from+batch; k++ {
				x := train.Bytes[k*pixels : (k+1)*pixels]
				z := scores(x)
				top, sum := z[0], 0.0
				for _, v := range z {
					top = max(top, v)
				}
				for _, v := range z {
					sum += math.Exp(float64(v - top))
				}
				for c, v := range z {
					p := float32(math.Exp(float64(v-top)) / sum)
					if c == int(train.Labels[k]) {
						p--
					}
					for i, v := range x {
						g[c][i] += p * float32(v) / 255
					}
					g[c][pixels] += p
				}
			}
			for c := range w {
				for i := range w[c] {
					w[c][i] -= rate * (g[c][i]/batch + decay*w[c][i])
				}
			}
		}
	}
	right := 0
	for k := range test.Len() {
		z := scores(test.Bytes[k*pixels : (k+1)*pixels])
		best := 0
		for c := range z {
			if z[c] > z[best] {
				best = c
			}
		}
		if best == int(test.Labels[k]) {
			right++
		}
	}
	return float64(right) / float64(test.Len())
}

func BenchmarkDigits(b *testing.B) {
	for b.Loop() {
		digits(b, 1, DigitsTrain, DigitsTest)
	}
}
