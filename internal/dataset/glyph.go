package dataset

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gobolditalic"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/gofont/gomediumitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/gomonobolditalic"
	"golang.org/x/image/font/gofont/gomonoitalic"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/gofont/gosmallcaps"
	"golang.org/x/image/font/gofont/gosmallcapsitalic"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// fonts gives the files of the faces that the digits are drawn with.
func fonts() [][]byte {
	return [][]byte{
		goregular.TTF, goitalic.TTF, gomedium.TTF, gomediumitalic.TTF, gobold.TTF, gobolditalic.TTF,
		gomono.TTF, gomonoitalic.TTF, gomonobold.TTF, gomonobolditalic.TTF, gosmallcaps.TTF, gosmallcapsitalic.TTF,
	}
}

// A glyph is the signed distance to a digit's outline, positive inside, sampled on a grid. A distance rather
// than an image lets one look-up a pixel give smooth edges under any distortion and any stroke. Lengths are
// in units of the digit's height; the origin is the centre of its bounds, y points down.
type glyph [glyphSide * glyphSide]float32

const (
	glyphSide  = 72
	glyphHalf  = 0.9 // the grid covers [-glyphHalf, glyphHalf] in x and y
	glyphStep  = 2 * glyphHalf / (glyphSide - 1)
	glyphBlock = 8 // the grid is drawn in blocks of so many points in x and y
	curveCuts  = 6 // straight pieces for a curve: off by less than a hundredth of a pixel
)

type point struct{ x, y float64 }

type line struct{ a, b point }

// draw samples the distance to the outline of the digit r in the font file.
func (g *glyph) draw(ttf []byte, r rune) error {
	segments, err := load(ttf, r)
	if err != nil {
		return fmt.Errorf("dataset: font: digit %c: %w", r, err)
	}
	outline := outline(segments)
	var near, beside []line
	for b := range (glyphSide / glyphBlock) * (glyphSide / glyphBlock) {
		x0, y0 := b%(glyphSide/glyphBlock)*glyphBlock, b/(glyphSide/glyphBlock)*glyphBlock
		first, last := gridPoint(x0, y0), gridPoint(x0+glyphBlock-1, y0+glyphBlock-1)
		near, beside = candidates(near[:0], beside[:0], outline, first, last)
		for k := range glyphBlock * glyphBlock {
			x, y := x0+k%glyphBlock, y0+k/glyphBlock
			g[y*glyphSide+x] = float32(distance(near, beside, gridPoint(x, y)))
		}
	}
	return nil
}

func gridPoint(x, y int) point {
	return point{-glyphHalf + float64(float64(x)*glyphStep), -glyphHalf + float64(float64(y)*glyphStep)}
}

// candidates appends to near the lines that can be the nearest to a point of the rectangle from a to b, and to beside
// those that a ray to the right can cross. A line further from the centre than the nearest one is there, by more
// than the diagonal, is nowhere in the rectangle the nearest.
func candidates(near, beside, outline []line, a, b point) ([]line, []line) {
	centre := between(a, b, 0.5)
	reach := math.Inf(1)
	for _, l := range outline {
		reach = min(reach, l.square(centre))
	}
	reach = math.Sqrt(reach) + math.Hypot(b.x-a.x, b.y-a.y) + 1e-6 // for rounding
	for _, l := range outline {
		if l.square(centre) <= reach*reach {
			near = append(near, l)
		}
		if min(l.a.y, l.b.y) <= b.y && max(l.a.y, l.b.y) >= a.y {
			beside = append(beside, l)
		}
	}
	return near, beside
}

// at interpolates the distance at (x, y); far outside it is -1.
func (g *glyph) at(x, y float64) float64 {
	x = (x + glyphHalf) / glyphStep
	y = (y + glyphHalf) / glyphStep
	if !(x >= 0 && y >= 0 && x < glyphSide-1 && y < glyphSide-1) {
		return -1
	}
	i, j := int(x), int(y)
	u, v := x-float64(i), y-float64(j)
	row := g[j*glyphSide+i:]
	top := mix(float64(row[0]), float64(row[1]), u)
	bottom := mix(float64(row[glyphSide]), float64(row[glyphSide+1]), u)
	return mix(top, bottom, v)
}

// mix is a + t(b-a). In this and all other arithmetic of the digits, products are converted, which keeps
// compilers from fusing them with the sum (but for those by powers of two, which are exact), and of the
// math package only exact functions are used: every platform draws the same bytes.
func mix(a, b, t float64) float64 { return a + float64(t*(b-a)) }

func between(a, b point, t float64) point { return point{mix(a.x, b.x, t), mix(a.y, b.y, t)} }

// load gives the contours of r in font units, y downwards.
func load(ttf []byte, r rune) (sfnt.Segments, error) {
	font, err := sfnt.Parse(ttf)
	if err != nil {
		return nil, err
	}
	var buf sfnt.Buffer
	index, err := font.GlyphIndex(&buf, r)
	if err != nil {
		return nil, err
	}
	segments, err := font.LoadGlyph(&buf, index, fixed.I(int(font.UnitsPerEm())), nil)
	if err == nil && len(segments) == 0 {
		err = errors.New("has no outline")
	}
	return segments, err
}

// outline gives contours as straight lines, scaled to height 1 about their centre.
func outline(segments sfnt.Segments) []line {
	at := func(p fixed.Point26_6) point { return point{float64(p.X) / 64, float64(p.Y) / 64} }
	var lines []line
	var pen point
	for _, s := range segments {
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			pen = at(s.Args[0])
		case sfnt.SegmentOpLineTo:
			to := at(s.Args[0])
			lines = append(lines, line{pen, to})
			pen = to
		case sfnt.SegmentOpQuadTo: // the only curve of a TrueType font
			from, control, to := pen, at(s.Args[0]), at(s.Args[1])
			for k := 1; k <= curveCuts; k++ {
				t := float64(k) / curveCuts
				p := between(between(from, control, t), between(control, to, t), t)
				lines = append(lines, line{pen, p})
				pen = p
			}
		}
	}
	lo, hi := lines[0].a, lines[0].a
	for _, l := range lines {
		lo = point{min(lo.x, l.b.x), min(lo.y, l.b.y)}
		hi = point{max(hi.x, l.b.x), max(hi.y, l.b.y)}
	}
	height := hi.y - lo.y
	centre := func(p point) point {
		return point{(p.x - (lo.x+hi.x)/2) / height, (p.y - (lo.y+hi.y)/2) / height}
	}
	for i, l := range lines {
		lines[i] = line{centre(l.a), centre(l.b)}
	}
	return lines
}

// distance is that from p to the nearest line of near, positive where those of beside wind around p.
func distance(near, beside []line, p point) float64 {
	square, winding := math.Inf(1), 0
	for _, l := range near {
		square = min(square, l.square(p))
	}
	for _, l := range beside {
		winding += l.winding(p)
	}
	if winding == 0 {
		return -math.Sqrt(square)
	}
	return math.Sqrt(square)
}

// square is the square of the distance from p to l; infinite if l is a point.
func (l *line) square(p point) float64 {
	dx, dy := l.b.x-l.a.x, l.b.y-l.a.y
	px, py := p.x-l.a.x, p.y-l.a.y
	length := float64(dx*dx) + float64(dy*dy)
	if length == 0 {
		return math.Inf(1)
	}
	t := min(1, max(0, (float64(px*dx)+float64(py*dy))/length))
	ex, ey := px-float64(t*dx), py-float64(t*dy)
	return float64(ex*ex) + float64(ey*ey)
}

// winding is 1 or -1 if l crosses the ray from p to the right, down or up.
func (l *line) winding(p point) int {
	down, up := l.a.y <= p.y && l.b.y > p.y, l.a.y > p.y && l.b.y <= p.y
	if !down && !up {
		return 0
	}
	side := float64((l.b.x-l.a.x)*(p.y-l.a.y)) - float64((l.b.y-l.a.y)*(p.x-l.a.x))
	switch {
	case down && side > 0:
		return 1
	case up && side < 0:
		return -1
	}
	return 0
}
