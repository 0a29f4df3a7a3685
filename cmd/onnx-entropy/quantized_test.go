package main

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// A model of 8-bit weights predicts and is evaluated like the one of the same weights in floating point; train refuses it, says why, and
// leaves nothing behind.
func TestQuantized(t *testing.T) {
	dir := workDir(t)
	const scale = 1. / 64
	l := newLinear(6)
	var bytes []byte
	for i, w := range l.weights {
		q := int8(math.Round(float64(w) / scale))
		bytes = append(bytes, byte(q))
		l.weights[i] = float32(q) * scale
	}
	write(t, "float.onnx", l.onnx())
	var m onnxpb.ModelProto
	if err := proto.Unmarshal(l.onnx(), &m); err != nil {
		t.Fatal(err)
	}
	g := m.Graph
	g.Initializer[0] = &onnxpb.TensorProto{Name: proto.String("q"), DataType: proto.Int32(int32(onnxpb.TensorProto_INT8)), Dims: g.Initializer[0].Dims, RawData: bytes}
	g.Initializer = append(g.Initializer, floatTensor("scale", []float32{scale}))
	g.Node = append([]*onnxpb.NodeProto{{Name: proto.String("dequantize"), OpType: proto.String("DequantizeLinear"), Input: []string{"q", "scale"}, Output: []string{"w"}}}, g.Node...)
	b, err := proto.Marshal(&m)
	if err != nil {
		t.Fatal(err)
	}
	write(t, "quantized.onnx", b)

	for _, verb := range []string{"predict", "eval"} {
		got, want := must(t, verb, "quantized.onnx", "--data", "data"), must(t, verb, "float.onnx", "--data", "data")
		if got != want || len(got) < 20 {
			t.Errorf("%s prints %q, for the weights in floating point %q", verb, got, want)
		}
	}
	before := files(t, dir)
	_, errs, code := call(t, "train", "quantized.onnx", "--data", "data")
	if code != 1 || !strings.Contains(errs, "quantize it afterwards") {
		t.Errorf("train: %d, %s", code, errs)
	}
	if after := files(t, dir); after != before {
		t.Errorf("train has left %v", after)
	}
}
