package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/report"
)

// call runs a command line as main does and returns what it prints, with main's line for the error, and the exit code.
func call(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return callContext(t, context.Background(), args...)
}

func callContext(t *testing.T, ctx context.Context, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	err := run(ctx, args, &out, &errs)
	if err != nil {
		errs.WriteString("onnx-entropy: " + message(err) + "\n")
	}
	return out.String(), errs.String(), exitCode(err)
}

// must is call for a command line that succeeds.
func must(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	out, errs, code := call(t, args...)
	if code != 0 {
		t.Fatalf("%q: exit code %d\n%s%s", args, code, out, errs)
	}
	return out
}

// files lists the files at and below dir, but not what folders of checkpoints hold: their names tell the time.
func files(t *testing.T, dir string) string {
	t.Helper()
	var s []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if path != dir {
			rel, _ := filepath.Rel(dir, path)
			s = append(s, filepath.ToSlash(rel))
			if d.Name() == report.CheckpointsName {
				return filepath.SkipDir
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(s, " ")
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// idx is an IDX file of bytes.
func idx(values []byte, shape ...int) []byte {
	b := []byte{0, 0, 8, byte(len(shape))}
	for _, d := range shape {
		b = binary.BigEndian.AppendUint32(b, uint32(d))
	}
	return append(b, values...)
}

// squares are images of side x side and labels: the row of the brightest third says the class, 0 to 2.
func squares(n, side int, seed uint64) (images, labels []byte) {
	r := rand.New(rand.NewPCG(seed, 0))
	for range n {
		class := r.IntN(3)
		labels = append(labels, byte(class))
		for p := range side * side {
			v := r.IntN(80)
			if p/side*3/side == class {
				v += 120
			}
			images = append(images, byte(v))
		}
	}
	return images, labels
}

// squaresDir writes squares as MNIST's files are named.
func squaresDir(t *testing.T, dir string, side int) string {
	t.Helper()
	for name, n := range map[string]int{"train": 60, "t10k": 30} {
		images, labels := squares(n, side, uint64(n))
		write(t, filepath.Join(dir, name+"-images-idx3-ubyte"), idx(images, n, side, side))
		write(t, filepath.Join(dir, name+"-labels-idx1-ubyte"), idx(labels, n))
	}
	return dir
}

// A linear model of side x side images: Flatten, Dropout if asked for, Gemm with an output for each number of the bias, and perhaps a last operator.
type linear struct {
	side    int
	fixed   int // if not 0, the only batch that the model works for: Reshape stands in for Flatten
	dropout bool
	last    string
	weights []float32 // (classes, side*side)

	bias []float32
}

func newLinear(side int) linear {
	r := rand.New(rand.NewPCG(9, 9))
	l := linear{side: side, bias: []float32{0.1, -0.2, 0.3}}
	for range 3 * side * side {
		l.weights = append(l.weights, float32(r.NormFloat64())/8)
	}
	return l
}

// onnx is the model's file, opset 11, where Dropout has no mode.
func (l linear) onnx() []byte {
	var nodes []*onnxpb.NodeProto
	at := "x"
	node := func(op string, more []string, attrs ...*onnxpb.AttributeProto) {
		out := strings.ToLower(op) + "_out"
		nodes = append(nodes, &onnxpb.NodeProto{Name: proto.String(strings.ToLower(op)), OpType: proto.String(op),
			Input: append([]string{at}, more...), Output: []string{out}, Attribute: attrs})
		at = out
	}
	var batch any = "batch"
	var shape []*onnxpb.TensorProto
	if l.fixed != 0 {
		batch, shape = l.fixed, []*onnxpb.TensorProto{intTensor([]int64{int64(l.fixed), int64(l.side * l.side)}, 2)}
		shape[0].Name = proto.String("shape")
		node("Reshape", []string{"shape"})
	} else {
		node("Flatten", nil)
	}
	if l.dropout {
		node("Dropout", nil, &onnxpb.AttributeProto{Name: proto.String("ratio"), Type: onnxpb.AttributeProto_FLOAT.Enum(), F: proto.Float32(0.5)})
	}
	node("Gemm", []string{"w", "b"}, &onnxpb.AttributeProto{Name: proto.String("transB"), Type: onnxpb.AttributeProto_INT.Enum(), I: proto.Int64(1)})
	if l.last != "" {
		node(l.last, nil)
	}
	nodes[len(nodes)-1].Output[0] = "y"
	m := &onnxpb.ModelProto{
		IrVersion:    proto.Int64(6),
		ProducerName: proto.String("test"),
		OpsetImport:  []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(11)}},
		Graph: &onnxpb.GraphProto{
			Name: proto.String("linear"), Node: nodes,
			Input:  []*onnxpb.ValueInfoProto{info("x", batch, 1, l.side, l.side)},
			Output: []*onnxpb.ValueInfoProto{info("y", batch, len(l.bias))},
			Initializer: append(shape,
				floatTensor("w", l.weights, len(l.bias), l.side*l.side),
				floatTensor("b", l.bias, len(l.bias)),
			),
		},
	}
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func info(name string, dims ...any) *onnxpb.ValueInfoProto {
	shape := &onnxpb.TensorShapeProto{}
	for _, d := range dims {
		dim := &onnxpb.TensorShapeProto_Dimension{}
		switch d := d.(type) {
		case int:
			dim.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: int64(d)}
		case string:
			dim.Value = &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: d}
		}
		shape.Dim = append(shape.Dim, dim)
	}
	return &onnxpb.ValueInfoProto{Name: proto.String(name), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{
		TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(onnxpb.TensorProto_FLOAT)), Shape: shape},
	}}}
}

func floatTensor(name string, v []float32, dims ...int) *onnxpb.TensorProto {
	t := &onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(int32(onnxpb.TensorProto_FLOAT)), FloatData: v}
	for _, d := range dims {
		t.Dims = append(t.Dims, int64(d))
	}
	return t
}

func intTensor(v []int64, dims ...int) *onnxpb.TensorProto {
	t := floatTensor("", nil, dims...)
	t.DataType, t.Int64Data = proto.Int32(int32(onnxpb.TensorProto_INT64)), v
	return t
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
