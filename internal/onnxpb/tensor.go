package onnxpb

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Count returns the product of dims. It fails if a dimension is negative or the product does not fit.
func Count(dims []int64) (int, error) {
	n := int64(1)
	for _, d := range dims {
		if d < 0 {
			return 0, fmt.Errorf("dimension %d is negative", d)
		}
		if d != 0 && n > math.MaxInt64/16/d {
			return 0, fmt.Errorf("shape %v has more elements than can be counted", dims)
		}
		n *= d
	}
	return int(n), nil
}

// Bits returns the size of an element of t's type in bits, or 0 if it has no fixed size (strings) or is
// unknown.
func (t *TensorProto) Bits() int {
	switch TensorProto_DataType(t.GetDataType()) {
	case TensorProto_UINT2, TensorProto_INT2:
		return 2
	case TensorProto_UINT4, TensorProto_INT4, TensorProto_FLOAT4E2M1:
		return 4
	case TensorProto_FLOAT6E2M3, TensorProto_FLOAT6E3M2:
		return 6
	case TensorProto_UINT8, TensorProto_INT8, TensorProto_BOOL, TensorProto_FLOAT8E4M3FN,
		TensorProto_FLOAT8E4M3FNUZ, TensorProto_FLOAT8E5M2, TensorProto_FLOAT8E5M2FNUZ, TensorProto_FLOAT8E8M0:
		return 8
	case TensorProto_UINT16, TensorProto_INT16, TensorProto_FLOAT16, TensorProto_BFLOAT16:
		return 16
	case TensorProto_FLOAT, TensorProto_INT32, TensorProto_UINT32:
		return 32
	case TensorProto_DOUBLE, TensorProto_INT64, TensorProto_UINT64, TensorProto_COMPLEX64:
		return 64
	case TensorProto_COMPLEX128:
		return 128
	}
	return 0
}

// ByteLen returns how many bytes the elements of t take in raw form.
func (t *TensorProto) ByteLen() (int, error) {
	n, err := Count(t.GetDims())
	if err != nil {
		return 0, err
	}
	b := t.Bits()
	if b == 0 {
		return 0, fmt.Errorf("elements of type %s have no raw form", t.TypeName())
	}
	if b >= 8 {
		return n * (b / 8), nil
	}
	return (n*b + 7) / 8, nil
}

// TypeName is the ONNX name of t's element type.
func (t *TensorProto) TypeName() string { return TypeName(t.GetDataType()) }

// TypeName is the ONNX name of an element type.
func TypeName(elem int32) string {
	if s, ok := TensorProto_DataType_name[elem]; ok {
		return s
	}
	return fmt.Sprintf("number %d", elem)
}

// Check returns an error unless the numbers stored in t (in raw_data or in the field of its type) are exactly
// as many as its dimensions say. It allocates nothing. Data that lies in another file must have been put into
// raw_data.
func (t *TensorProto) Check() error {
	n, err := Count(t.GetDims())
	if err != nil {
		return err
	}
	if t.Segment != nil {
		return fmt.Errorf("it is cut into segments, which nothing writes today; save the model again with a current version of onnx")
	}
	if t.RawData != nil {
		want, err := t.ByteLen()
		if err != nil {
			return err
		}
		if len(t.RawData) != want {
			return fmt.Errorf("shape %v of type %s takes %d bytes, but there are %d", t.GetDims(), t.TypeName(), want, len(t.RawData))
		}
		return nil
	}
	have := 0
	want := n
	switch TensorProto_DataType(t.GetDataType()) {
	case TensorProto_FLOAT:
		have = len(t.FloatData)
	case TensorProto_COMPLEX64:
		have, want = len(t.FloatData), 2*n
	case TensorProto_DOUBLE:
		have = len(t.DoubleData)
	case TensorProto_COMPLEX128:
		have, want = len(t.DoubleData), 2*n
	case TensorProto_INT64:
		have = len(t.Int64Data)
	case TensorProto_UINT32, TensorProto_UINT64:
		have = len(t.Uint64Data)
	case TensorProto_STRING:
		have = len(t.StringData)
	default:
		b := t.Bits()
		if b == 0 {
			return fmt.Errorf("element type %s is unknown", t.TypeName())
		}
		have = len(t.Int32Data)
		if b < 8 {
			want = (n*b + 7) / 8
		}
	}
	if have != want {
		return fmt.Errorf("shape %v of type %s takes %d numbers, but there are %d", t.GetDims(), t.TypeName(), want, have)
	}
	return nil
}

// IsFloat tells whether elem is a type whose numbers Floats reads.
func IsFloat(elem int32) bool {
	switch TensorProto_DataType(elem) {
	case TensorProto_FLOAT, TensorProto_DOUBLE, TensorProto_FLOAT16, TensorProto_BFLOAT16:
		return true
	}
	return false
}

// IsInt tells whether elem is a type whose numbers Ints reads: the integers of at least 8 bits, and bool.
func IsInt(elem int32) bool {
	switch TensorProto_DataType(elem) {
	case TensorProto_UINT8, TensorProto_INT8, TensorProto_UINT16, TensorProto_INT16, TensorProto_INT32,
		TensorProto_UINT32, TensorProto_INT64, TensorProto_UINT64, TensorProto_BOOL:
		return true
	}
	return false
}

// Doubles returns a copy of the elements of a tensor of a floating-point type, row-major.
func (t *TensorProto) Doubles() ([]float64, error) {
	at, n, err := t.floatAt()
	if err != nil {
		return nil, err
	}
	x := make([]float64, n)
	for i := range x {
		x[i] = at(i)
	}
	return x, nil
}

// Floats is Doubles rounded to float32, which is exact unless the type is DOUBLE.
func (t *TensorProto) Floats() ([]float32, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	n, _ := Count(t.GetDims())
	x := make([]float32, n)
	return x, t.ReadFloats(x)
}

// ReadFloats is Floats into x, which has an element for each of t.
func (t *TensorProto) ReadFloats(x []float32) error {
	at, n, err := t.floatAt()
	if err != nil {
		return err
	}
	if len(x) != n {
		return fmt.Errorf("the tensor has %d elements, not %d", n, len(x))
	}
	if t.GetDataType() == int32(TensorProto_FLOAT) {
		// Through float64, a signalling NaN would change its bits.
		for i := range x {
			if t.RawData != nil {
				x[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.RawData[4*i:]))
			} else {
				x[i] = t.FloatData[i]
			}
		}
		return nil
	}
	for i := range x {
		x[i] = float32(at(i))
	}
	return nil
}

// Holds tells whether the elements of t, rounded to float32, have the bits of x.
func (t *TensorProto) Holds(x []float32) bool {
	at, n, err := t.floatAt()
	if err != nil || n != len(x) {
		return false
	}
	for i, v := range x {
		var old uint32
		switch {
		case t.GetDataType() != int32(TensorProto_FLOAT):
			old = math.Float32bits(float32(at(i)))
		case t.RawData != nil:
			old = binary.LittleEndian.Uint32(t.RawData[4*i:])
		default:
			old = math.Float32bits(t.FloatData[i])
		}
		if old != math.Float32bits(v) {
			return false
		}
	}
	return true
}

// floatAt checks t and returns a function that reads element i.
func (t *TensorProto) floatAt() (at func(int) float64, n int, err error) {
	if err := t.Check(); err != nil {
		return nil, 0, err
	}
	n, _ = Count(t.GetDims())
	le, raw := binary.LittleEndian, t.RawData
	bits16 := func(i int) uint16 {
		if raw != nil {
			return le.Uint16(raw[2*i:])
		}
		return uint16(t.Int32Data[i])
	}
	switch TensorProto_DataType(t.GetDataType()) {
	case TensorProto_FLOAT:
		if raw == nil {
			return func(i int) float64 { return float64(t.FloatData[i]) }, n, nil
		}
		return func(i int) float64 { return float64(math.Float32frombits(le.Uint32(raw[4*i:]))) }, n, nil
	case TensorProto_DOUBLE:
		if raw == nil {
			return func(i int) float64 { return t.DoubleData[i] }, n, nil
		}
		return func(i int) float64 { return math.Float64frombits(le.Uint64(raw[8*i:])) }, n, nil
	case TensorProto_FLOAT16:
		return func(i int) float64 { return float64(halfToFloat(bits16(i))) }, n, nil
	case TensorProto_BFLOAT16:
		return func(i int) float64 { return float64(math.Float32frombits(uint32(bits16(i)) << 16)) }, n, nil
	}
	return nil, 0, fmt.Errorf("elements of type %s are no floating-point numbers that this program reads", t.TypeName())
}

// Ints returns a copy of the elements of a tensor of an integer type or of bools (0 and 1), row-major. Those of
// UINT64 keep their bits.
func (t *TensorProto) Ints() ([]int64, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	if !IsInt(t.GetDataType()) {
		return nil, fmt.Errorf("elements of type %s are no integers that this program reads", t.TypeName())
	}
	n, _ := Count(t.GetDims())
	x := make([]int64, n)
	for i := range x {
		x[i] = t.intAt(i)
	}
	return x, nil
}

func (t *TensorProto) intAt(i int) int64 {
	le, raw := binary.LittleEndian, t.RawData
	if raw == nil {
		switch TensorProto_DataType(t.GetDataType()) {
		case TensorProto_INT64:
			return t.Int64Data[i]
		case TensorProto_UINT32, TensorProto_UINT64:
			return int64(t.Uint64Data[i])
		}
		return int64(t.Int32Data[i])
	}
	switch TensorProto_DataType(t.GetDataType()) {
	case TensorProto_UINT8, TensorProto_BOOL:
		return int64(raw[i])
	case TensorProto_INT8:
		return int64(int8(raw[i]))
	case TensorProto_UINT16:
		return int64(le.Uint16(raw[2*i:]))
	case TensorProto_INT16:
		return int64(int16(le.Uint16(raw[2*i:])))
	case TensorProto_INT32:
		return int64(int32(le.Uint32(raw[4*i:])))
	case TensorProto_UINT32:
		return int64(le.Uint32(raw[4*i:]))
	case TensorProto_INT64:
		return int64(le.Uint64(raw[8*i:]))
	}
	return int64(le.Uint64(raw[8*i:]))
}

// SetFloats replaces the elements of t by x, in the type of t and where t holds its numbers (raw_data, of which it makes a
// new one, or the field of the type). An element of t that already equals x[i] when rounded to float32 keeps its bits.
func (t *TensorProto) SetFloats(x []float32) error {
	_, n, err := t.floatAt()
	if err != nil {
		return err
	}
	if n != len(x) {
		return fmt.Errorf("the tensor has %d elements, not %d", n, len(x))
	}
	if t.RawData != nil {
		raw := make([]byte, len(t.RawData))
		t.EncodeRaw(raw, 0, x)
		t.RawData = raw
		return nil
	}
	old, err := t.Floats()
	if err != nil {
		return err
	}
	for i, v := range x {
		if math.Float32bits(v) == math.Float32bits(old[i]) {
			continue
		}
		switch TensorProto_DataType(t.GetDataType()) {
		case TensorProto_FLOAT:
			t.FloatData[i] = v
		case TensorProto_DOUBLE:
			t.DoubleData[i] = float64(v)
		case TensorProto_FLOAT16:
			t.Int32Data[i] = int32(floatToHalf(v))
		case TensorProto_BFLOAT16:
			t.Int32Data[i] = int32(floatToBfloat(v))
		}
	}
	return nil
}

// EncodeRaw writes x, which are to be the elements of t from number from on, to dst as raw_data has them, by SetFloats' rule. t must
// be of a floating-point type and have raw_data.
func (t *TensorProto) EncodeRaw(dst []byte, from int, x []float32) {
	le, width := binary.LittleEndian, t.Bits()/8
	old := t.RawData[from*width:][:len(x)*width]
	copy(dst, old)
	for i, v := range x {
		is := math.Float32bits(v)
		switch TensorProto_DataType(t.GetDataType()) {
		case TensorProto_FLOAT:
			le.PutUint32(dst[4*i:], is)
		case TensorProto_DOUBLE:
			if is != math.Float32bits(float32(math.Float64frombits(le.Uint64(old[8*i:])))) {
				le.PutUint64(dst[8*i:], math.Float64bits(float64(v)))
			}
		case TensorProto_FLOAT16:
			if is != math.Float32bits(halfToFloat(le.Uint16(old[2*i:]))) {
				le.PutUint16(dst[2*i:], floatToHalf(v))
			}
		case TensorProto_BFLOAT16:
			if is != uint32(le.Uint16(old[2*i:]))<<16 {
				le.PutUint16(dst[2*i:], floatToBfloat(v))
			}
		}
	}
}
