package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A truetype is a font file. Just enough of the format (ISO/IEC 14496-22) is read to get at the digits of
// the Go fonts. The package sfnt of x/image would do it too, but it draws in golang.org/x/text, all of it
// for one encoding of old fonts.
type truetype []byte

func (f truetype) u16(at int) int { return int(binary.BigEndian.Uint16(f[at:])) }
func (f truetype) i16(at int) int { return int(int16(f.u16(at))) }
func (f truetype) u32(at int) int { return int(binary.BigEndian.Uint32(f[at:])) }

// table gives the bytes from a table's start on.
func (f truetype) table(tag string) (truetype, error) {
	for i := range f.u16(4) {
		if record := f[12+16*i:]; string(record[:4]) == tag {
			return f[record.u32(8):], nil
		}
	}
	return nil, fmt.Errorf("has no table %q", tag)
}

// index finds the glyph of r in a character map of format 6, an array over a range of codes.
func (f truetype) index(r rune) (int, error) {
	cmap, err := f.table("cmap")
	if err != nil {
		return 0, err
	}
	for i := range cmap.u16(2) {
		m := cmap[cmap.u32(4+8*i+4):]
		if at := int(r) - m.u16(6); m.u16(0) == 6 && at >= 0 && at < m.u16(8) {
			return m.u16(10 + 2*at), nil
		}
	}
	return 0, errors.New("has no character map of format 6")
}

// A vertex is a point of a contour: on it, or the control point of a quadratic curve.
type vertex struct {
	point
	on bool
}

// contours gives the closed contours of r's glyph in font units, y upwards.
func (f truetype) contours(r rune) ([][]vertex, error) {
	index, err1 := f.index(r)
	head, err2 := f.table("head")
	loca, err3 := f.table("loca")
	glyf, err4 := f.table("glyf")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	at := 2 * loca.u16(2*index)
	if head.u16(50) != 0 {
		at = loca.u32(4 * index)
	}
	g := glyf[at:]
	n := g.i16(0)
	if n <= 0 {
		return nil, errors.New("is not a simple glyph")
	}
	end := func(i int) int { return g.u16(10+2*i) + 1 }
	vertices := make([]vertex, end(n-1))
	flags := make([]byte, 0, len(vertices))
	b := g[12+2*n+g.u16(10+2*n):] // behind the hinting program
	for len(flags) < len(vertices) {
		flag := b[0]
		b = b[1:]
		flags = append(flags, flag)
		if flag&8 != 0 {
			for range b[0] {
				flags = append(flags, flag)
			}
			b = b[1:]
		}
	}
	// Each coordinate is the difference to the one before: none, a byte with its sign in the flags, or 16 bits.
	difference := func(flag, short, same byte) (d int) {
		switch {
		case flag&short != 0:
			d, b = int(b[0]), b[1:]
			if flag&same == 0 {
				d = -d
			}
		case flag&same == 0:
			d, b = b.i16(0), b[2:]
		}
		return d
	}
	x, y := 0, 0
	for i := range vertices {
		x += difference(flags[i], 2, 16)
		vertices[i].x, vertices[i].on = float64(x), flags[i]&1 != 0
	}
	for i := range vertices {
		y += difference(flags[i], 4, 32)
		vertices[i].y = float64(y)
	}
	var contours [][]vertex
	for i, from := 0, 0; i < n; i, from = i+1, end(i) {
		contours = append(contours, vertices[from:end(i)])
	}
	return contours, nil
}
