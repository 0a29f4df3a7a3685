package dataset

import (
	"math"

	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// Default numbers of built-in digits.
const (
	DigitsTrain = 10_000
	DigitsTest  = 2_000
)

// digitSide is the width and the height of a digit's image in pixels.
const digitSide = 28

// What is drawn at random, uniformly within these bounds. They are set so that position, slant and
// deformation defeat a linear classifier but not a small convolutional network; the tests hold the former.
const (
	heightLow, heightHigh = 17, 22     // height of the digit, pixels
	shiftMax              = 1.25       // of the centre, pixels, in x and y
	turnMax               = 0.28       // tangent of the angle of rotation
	shearMax              = 0.28       // shift of x per y
	widthLow, widthHigh   = 0.75, 1.25 // factor on the digit's width
	strokeMax             = 0.5        // added to or taken off each side of a stroke, pixels
	elasticMax            = 3.5        // displacement of a control point, pixels, in x and y
	inkLow, inkHigh       = 0.45, 1.0  // brightness of the digit
	groundMax             = 0.14       // brightness of the ground
	noiseMax              = 0.19       // standard deviation of the noise of pixels
)

// Digits makes images (1, 28, 28) of the digits 0 to 9, light on dark ground, in the Go fonts: with random
// size, place, rotation, shear, elastic distortion, stroke, brightness and noise. Image i shows digit i%10.
// It is a pure function of the seed, the set and i, hence the same for any number of threads or images.
func Digits(seed uint64, train, test int) (*Set, *Set, error) {
	p := &press{seed: seed}
	for x := range p.spline {
		p.spline[x] = spline(float64(x))
	}
	pool := parallel.New(0)
	files := fonts()
	p.glyphs = make([]glyph, 10*len(files))
	engraving := &engraver{files: files, glyphs: p.glyphs, errs: make([]error, len(p.glyphs))}
	pool.Run(len(p.glyphs), engraving)
	for _, err := range engraving.errs {
		if err != nil {
			return nil, nil, err
		}
	}
	var sets [2]*Set
	for k, n := range []int{train, test} {
		s := &Set{
			Name:    [...]string{"built-in training digits", "built-in test digits"}[k],
			Shape:   []int{1, digitSide, digitSide},
			Bytes:   make([]byte, n*digitSide*digitSide),
			Labels:  make([]int64, n),
			Classes: 10,
		}
		p.set, p.replica = s, uint16(k)
		pool.Run((n+digitChunk-1)/digitChunk, p)
		if err := s.Use(Transform{}); err != nil {
			return nil, nil, err
		}
		sets[k] = s
	}
	return sets[0], sets[1], nil
}

// An engraver draws the glyphs, one a part.
type engraver struct {
	files  [][]byte
	glyphs []glyph
	errs   []error
}

func (e *engraver) Part(_, part int) {
	e.errs[part] = e.glyphs[part].draw(e.files[part/10], rune('0'+part%10))
}

// A press prints the images of a set, digitChunk of them a part.
type press struct {
	seed    uint64
	glyphs  []glyph // (font, digit)
	spline  [digitSide]weights
	set     *Set
	replica uint16 // 0 train, 1 test
}

const digitChunk = 50

func (p *press) Part(_, part int) {
	const size = digitSide * digitSide
	for i := part * digitChunk; i < min(len(p.set.Labels), (part+1)*digitChunk); i++ {
		p.set.Labels[i] = int64(i % 10)
		p.print((*[size]byte)(p.set.Bytes[i*size:]), i)
	}
}

// print draws image i. Each pixel looks up where on the glyph it lies: displaced by the elastic field, then
// carried back through size, shear and rotation.
func (p *press) print(image *[digitSide * digitSide]byte, i int) {
	d := dice{stream: rng.Stream{Seed: p.seed, Purpose: rng.Digits, Replica: p.replica, Eval: uint64(i)}}
	fonts := len(p.glyphs) / 10
	g := &p.glyphs[10*min(fonts-1, int(d.between(0, float64(fonts))))+i%10]

	height := d.between(heightLow, heightHigh)
	cx := (digitSide-1)/2.0 + d.between(-shiftMax, shiftMax)
	cy := (digitSide-1)/2.0 + d.between(-shiftMax, shiftMax)
	tan := d.between(-turnMax, turnMax)
	cos := 1 / math.Sqrt(1+float64(tan*tan))
	sin := float64(tan * cos)
	shear := d.between(-shearMax, shearMax)
	width := d.between(widthLow, widthHigh)
	stroke := d.between(-strokeMax, strokeMax)
	ground := d.between(0, groundMax)
	ink := d.between(inkLow, inkHigh) - ground
	noise := d.between(0, noiseMax)
	dx, dy := p.field(&d), p.field(&d)

	for k := range image {
		x := float64(k%digitSide) - cx + dx[k]
		y := float64(k/digitSide) - cy + dy[k]
		x, y = float64(cos*x)+float64(sin*y), float64(cos*y)-float64(sin*x)
		x = (x - float64(shear*y)) / float64(height*width)
		y /= height
		// The edge is one pixel wide.
		cover := min(1, max(0, 0.5+stroke+float64(g.at(x, y)*height)))
		v := ground + float64(ink*cover) + float64(noise*d.normal())
		image[k] = byte(min(255, max(0, float64(v*255)+0.5)))
	}
}

// The control points of the elastic field are splineStep pixels apart.
const (
	splineStep   = 7
	splinePoints = digitSide/splineStep + 3
)

// weights are those of the four control points around a position, the first of which has number from.
type weights struct {
	from int
	w    [4]float64
}

// spline gives the weights of the uniform cubic B-spline at pixel x.
func spline(x float64) weights {
	t := (x + 0.5) / splineStep
	from := int(t)
	t -= float64(from)
	t2 := float64(t * t)
	t3 := float64(t2 * t)
	r := 1 - t
	return weights{from, [4]float64{
		float64(float64(r*r)*r) / 6,
		(float64(3*t3) - float64(6*t2) + 4) / 6,
		(float64(3*t2) - float64(3*t3) + float64(3*t) + 1) / 6,
		t3 / 6,
	}}
}

// field draws one component of the displacement of each pixel: a smooth surface over random control points.
func (p *press) field(d *dice) (f [digitSide * digitSide]float64) {
	var control [splinePoints][splinePoints]float64
	for i := range control {
		for j := range control[i] {
			control[i][j] = d.between(-elasticMax, elasticMax)
		}
	}
	for y := range digitSide {
		wy := &p.spline[y]
		var row [splinePoints]float64
		for j := range row {
			for k, w := range wy.w {
				row[j] += float64(w * control[wy.from+k][j])
			}
		}
		for x := range digitSide {
			wx := &p.spline[x]
			sum := 0.0
			for k, w := range wx.w {
				sum += float64(w * row[wx.from+k])
			}
			f[y*digitSide+x] = sum
		}
	}
	return f
}

// dice takes the words of a stream one after another.
type dice struct {
	stream rng.Stream
	words  [4]uint32
	used   uint32
}

func (d *dice) word() uint32 {
	if d.used%4 == 0 {
		d.words = d.stream.Block(d.used / 4)
	}
	w := d.words[d.used%4]
	d.used++
	return w
}

func (d *dice) between(lo, hi float64) float64 {
	return mix(lo, hi, float64(rng.Uniform(d.word())))
}

// normal is nearly normal with standard deviation 1: the sum of a word's four bytes, each of variance
// (256² - 1)/12.
func (d *dice) normal() float64 {
	w := d.word()
	sum := w&255 + w>>8&255 + w>>16&255 + w>>24
	return (float64(sum) - 510) / 147.80054127098577
}
