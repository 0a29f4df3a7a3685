package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
)

// decoder finds out what format an image is in and how large it is, before it is decoded.
func decoder(b []byte) (decode func(io.Reader) (image.Image, error), size image.Config, err error) {
	config, decode := png.DecodeConfig, png.Decode
	if !bytes.HasPrefix(b, []byte("\x89PNG")) {
		if !bytes.HasPrefix(b, []byte("\xff\xd8")) {
			return nil, size, errors.New("is neither PNG nor JPEG")
		}
		config, decode = jpeg.DecodeConfig, jpeg.Decode
	}
	if size, err = config(bytes.NewReader(b)); err != nil {
		return nil, size, err
	}
	if size.Width < 1 || size.Height < 1 || size.Width > maxPixels/size.Height {
		return nil, size, fmt.Errorf("its header claims %d x %d pixels", size.Width, size.Height)
	}
	return decode, size, nil
}

// planes writes the red, the green and the blue plane of m to dst and tells whether m is grey.
func planes(dst []byte, m image.Image) (grey bool) {
	r := m.Bounds()
	n := r.Dx() * r.Dy()
	at := 0
	put := func(red, green, blue uint8) {
		dst[at], dst[n+at], dst[2*n+at] = red, green, blue
		at++
	}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			switch m := m.(type) {
			case *image.YCbCr:
				i, k := m.YOffset(x, y), m.COffset(x, y)
				put(color.YCbCrToRGB(m.Y[i], m.Cb[k], m.Cr[k]))
			case *image.Gray:
				v := m.GrayAt(x, y).Y
				put(v, v, v)
			default:
				v := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
				put(v.R, v.G, v.B)
			}
		}
	}
	model := m.ColorModel()
	return model == color.GrayModel || model == color.Gray16Model
}

// grey leaves one channel of three equal ones.
func (s *Set) grey() {
	n := s.Shape[1] * s.Shape[2]
	images := len(s.Bytes) / (3 * n)
	for i := range images {
		copy(s.Bytes[i*n:(i+1)*n], s.Bytes[3*i*n:])
	}
	s.Bytes, s.Shape = s.Bytes[:images*n:images*n], []int{1, s.Shape[1], s.Shape[2]}
}
