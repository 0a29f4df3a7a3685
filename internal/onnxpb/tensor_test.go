package onnxpb

import (
	"math"
	"math/big"
	"testing"

	"google.golang.org/protobuf/proto"
)

// Every finite half is a float32, so converting there and back must be the identity.
func TestHalfThereAndBack(t *testing.T) {
	for h := range 1 << 16 {
		f := halfToFloat(uint16(h))
		if f != f {
			if g := floatToHalf(f); g&0x7c00 != 0x7c00 || g&0x3ff == 0 {
				t.Fatalf("half %#04x is a NaN and came back as %#04x", h, g)
			}
			continue
		}
		if g := floatToHalf(f); g != uint16(h) {
			t.Fatalf("half %#04x became %g and came back as %#04x", h, f, g)
		}
	}
}

// Rounding agrees with math/big, which rounds a number to 11 bits of mantissa.
func TestFloatToHalfRoundsToNearestEven(t *testing.T) {
	for i := range 1 << 18 {
		f := math.Float32frombits(0x38800000 + uint32(i)*0x3bf) // from 2^-14 up, below 65504
		if f > 65504 {
			break
		}
		want, _ := new(big.Float).SetPrec(11).SetMode(big.ToNearestEven).SetFloat64(float64(f)).Float32()
		if got := halfToFloat(floatToHalf(f)); got != want {
			t.Fatalf("%g rounds to %g, want %g", f, got, want)
		}
		bf, _ := new(big.Float).SetPrec(8).SetMode(big.ToNearestEven).SetFloat64(float64(f)).Float32()
		if got := math.Float32frombits(uint32(floatToBfloat(f)) << 16); got != bf {
			t.Fatalf("%g rounds to bfloat16 %g, want %g", f, got, bf)
		}
	}
	for f, want := range map[float32]uint16{65519.996: 0x7bff, 65520: 0x7c00, 1e-8: 0, 5.960464477539063e-8: 1, 8.940696716308594e-8: 2} {
		if got := floatToHalf(f); got != want {
			t.Errorf("floatToHalf(%g) = %#04x, want %#04x", f, got, want)
		}
	}
}

func TestCheckFindsWrongLengths(t *testing.T) {
	f32 := int32(TensorProto_FLOAT)
	for name, x := range map[string]*TensorProto{
		"raw too short":  {DataType: &f32, Dims: []int64{3}, RawData: make([]byte, 11)},
		"typed too long": {DataType: &f32, Dims: []int64{3}, FloatData: make([]float32, 4)},
		"negative":       {DataType: &f32, Dims: []int64{-3}, RawData: []byte{}},
		"overflow":       {DataType: &f32, Dims: []int64{1 << 32, 1 << 32}, RawData: []byte{}},
		"overflow to 0":  {DataType: &f32, Dims: []int64{1 << 62, 4}, RawData: []byte{}},
		"no data":        {DataType: &f32, Dims: []int64{1}},
		"unknown type":   {DataType: proto.Int32(99), Dims: []int64{1}, RawData: []byte{0}},
		"segment":        {DataType: &f32, Dims: []int64{0}, Segment: &TensorProto_Segment{}},
	} {
		if x.Check() == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := x.Floats(); err == nil {
			t.Errorf("%s: Floats gives no error", name)
		}
	}
}

func TestIntsOfEveryType(t *testing.T) {
	for _, c := range []struct {
		elem TensorProto_DataType
		raw  []byte
		want int64
	}{
		{TensorProto_INT8, []byte{0xfe}, -2},
		{TensorProto_UINT8, []byte{0xfe}, 254},
		{TensorProto_BOOL, []byte{1}, 1},
		{TensorProto_INT16, []byte{0xfe, 0xff}, -2},
		{TensorProto_UINT16, []byte{0xfe, 0xff}, 65534},
		{TensorProto_INT32, []byte{0xfe, 0xff, 0xff, 0xff}, -2},
		{TensorProto_UINT32, []byte{0xfe, 0xff, 0xff, 0xff}, 4294967294},
		{TensorProto_INT64, []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, -2},
		{TensorProto_UINT64, []byte{0xfe, 0, 0, 0, 0, 0, 0, 0}, 254},
	} {
		x := &TensorProto{DataType: proto.Int32(int32(c.elem)), Dims: []int64{1}, RawData: c.raw}
		got, err := x.Ints()
		if err != nil || got[0] != c.want {
			t.Errorf("%v: got %v, %v; want %d", c.elem, got, err, c.want)
		}
	}
}

// SetFloats keeps the form of storage and the bits of what does not change.
func TestSetFloatsKeepsForm(t *testing.T) {
	pi := math.Pi
	d := &TensorProto{DataType: proto.Int32(int32(TensorProto_DOUBLE)), Dims: []int64{2}, DoubleData: []float64{pi, 1}}
	if err := d.SetFloats([]float32{float32(pi), 2}); err != nil {
		t.Fatal(err)
	}
	if d.RawData != nil || d.DoubleData[0] != pi || d.DoubleData[1] != 2 {
		t.Errorf("got %v", d)
	}
	for _, elem := range []TensorProto_DataType{TensorProto_FLOAT, TensorProto_DOUBLE, TensorProto_FLOAT16, TensorProto_BFLOAT16} {
		x := &TensorProto{DataType: proto.Int32(int32(elem)), Dims: []int64{3}}
		n, _ := x.ByteLen()
		x.RawData = make([]byte, n)
		keep := x.RawData
		want := []float32{0.5, -2, 0}
		if err := x.SetFloats(want); err != nil {
			t.Fatal(err)
		}
		got, err := x.Floats()
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%v: got %v, want %v", elem, got, want)
			}
		}
		for _, b := range keep {
			if b != 0 {
				t.Fatalf("%v: the caller's bytes were changed", elem)
			}
		}
	}
}

// FuzzTensor reads and writes the numbers of any tensor, as the files of test cases hold them.
func FuzzTensor(f *testing.F) {
	for _, x := range []*TensorProto{
		{DataType: proto.Int32(1), Dims: []int64{2}, FloatData: []float32{1, 2}},
		{DataType: proto.Int32(10), Dims: []int64{1, 2}, RawData: []byte{0, 60, 0, 64}},
		{DataType: proto.Int32(16), Dims: []int64{2}, Int32Data: []int32{16256, 70000}},
		{DataType: proto.Int32(7), Dims: []int64{0, 3}, Int64Data: []int64{}},
		{DataType: proto.Int32(9), RawData: []byte{1}},
		{DataType: proto.Int32(22), Dims: []int64{3}, RawData: []byte{1, 2}},
		{DataType: proto.Int32(11), Dims: []int64{-1}, DoubleData: []float64{1}},
	} {
		b, err := proto.Marshal(x)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x := new(TensorProto)
		if proto.Unmarshal(b, x) != nil {
			return
		}
		bad := x.Check() != nil
		floats, err := x.Floats()
		if bad && err == nil {
			t.Fatal("numbers of a tensor that is wrong")
		}
		if _, err := x.Ints(); bad && err == nil {
			t.Fatal("numbers of a tensor that is wrong")
		}
		if err != nil {
			return
		}
		if n, _ := Count(x.GetDims()); n != len(floats) {
			t.Fatalf("%d numbers of %v", len(floats), x.GetDims())
		}
		for i := range floats {
			floats[i] = 0.5 // exact in every type
		}
		if err := x.SetFloats(floats); err != nil {
			t.Fatal(err)
		}
		for _, v := range must(x.Floats()) {
			if v != 0.5 {
				t.Fatal(v)
			}
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
