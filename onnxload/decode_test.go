package onnxload_test

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/owulveryck/onnx-go"
	"github.com/owulveryck/onnx-go/backend/x/gorgonnx"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/rng"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// largeFile writes a chain of square matrix products with raw_data, a layer at a time, so that it takes little memory itself.
func largeFile(t testing.TB, path string, layers int, side int64) {
	nodes := protos{}
	for i := range layers {
		nodes = append(nodes, node("MatMul", list(fmt.Sprint("h", i), fmt.Sprint("w", i)), list(fmt.Sprint("h", i+1))))
	}
	m := model(13, list(input("h0", "N", int(side))), nil, nodes, fmt.Sprint("h", layers))
	graph := marshal(m.Graph)
	m.Graph = nil
	weight := func(i int) *onnxpb.TensorProto {
		return &onnxpb.TensorProto{Name: proto.String(fmt.Sprint("w", i)), DataType: proto.Int32(1), Dims: []int64{side, side}}
	}
	bytes := 4 * side * side
	fieldSize := func(i int) int {
		return proto.Size(weight(i)) + protowire.SizeTag(9) + protowire.SizeBytes(int(bytes))
	}
	size := len(graph)
	for i := range layers {
		size += protowire.SizeTag(5) + protowire.SizeBytes(fieldSize(i))
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	w.Write(marshal(m))
	w.Write(protowire.AppendVarint(protowire.AppendTag(nil, 7, protowire.BytesType), uint64(size)))
	w.Write(graph)
	row := make([]float32, side)
	for i := range layers {
		w.Write(protowire.AppendVarint(protowire.AppendTag(nil, 5, protowire.BytesType), uint64(fieldSize(i))))
		w.Write(marshal(weight(i)))
		w.Write(protowire.AppendVarint(protowire.AppendTag(nil, 9, protowire.BytesType), uint64(bytes)))
		for r := range side {
			rng.Stream{Seed: uint64(i), Eval: uint64(r)}.Normals(row, 0)
			for _, v := range row {
				b := math.Float32bits(v / 64)
				w.Write([]byte{byte(b), byte(b >> 8), byte(b >> 16), byte(b >> 24)})
			}
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkDecode reads a file of 100 MB, and shows the most memory that the process has had. So each is run on its own:
//
//	go test ./onnxload -run '^$' -bench Decode/Parse -benchtime 5x
//	go test ./onnxload -run '^$' -bench Decode/onnx-go -benchtime 5x
func BenchmarkDecode(b *testing.B) {
	path := filepath.Join(b.TempDir(), "large.onnx")
	largeFile(b, path, 25, 1000)
	for name, read := range map[string]func() error{
		"Parse": func() error {
			_, err := onnxload.ParseFile(path)
			return err
		},
		"onnx-go": func() error {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return onnx.NewModel(gorgonnx.NewGraph()).UnmarshalBinary(raw)
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(100e6)
			for b.Loop() {
				if err := read(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(peakMemory(), "peak-MB")
		})
	}
}
