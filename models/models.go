// Package models holds sample networks: those of the Entropy-SGD paper (arXiv 1611.01838) with the layers of
// its authors' programs, exported by PyTorch in training mode (dropout and batch statistics in the graph, a
// dynamic batch axis, opset 17). export.py beside this file made them and describes each.
package models

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// mnistconv comes with the initial weights that PyTorch gave it. The others are too large for that (up to 19 MB
// each): their files hold zeros where the weights go, which compress to nothing, and Open draws the weights.
var (
	//go:embed mnistconv.onnx
	mnistconv []byte
	//go:embed mnistfc.onnx.gz
	mnistfc []byte
	//go:embed allcnn.onnx.gz
	allcnn []byte
	//go:embed charlstm.onnx.gz
	charlstm []byte
	//go:embed ptblstm.onnx.gz
	ptblstm []byte
)

// Names lists the networks that Open knows.
func Names() []string { return []string{"mnistfc", "mnistconv", "allcnn", "charlstm", "ptblstm"} }

// Open returns the ONNX file of a network, freshly made: the caller may change it. Each call gives the same
// bytes. The inputs are named "input", float32 of shape (batch, 1, 28, 28), for allcnn (batch, 3, 32, 32); the
// outputs "output", 10 logits. charlstm takes int64 symbols from 0 to 86 of shape (batch, 50) and gives logits
// for the next ones, (batch, 50, 87), ptblstm words from 0 to 9,999 of shape (batch, 35).
func Open(name string) ([]byte, error) {
	switch name {
	case "mnistconv":
		return bytes.Clone(mnistconv), nil
	case "mnistfc":
		return fill(name, mnistfc)
	case "allcnn":
		return fill(name, allcnn)
	case "charlstm":
		return fill(name, charlstm)
	case "ptblstm":
		return fill(name, ptblstm)
	}
	return nil, fmt.Errorf("models: no network is named %q; there are %s", name, strings.Join(Names(), ", "))
}

// fill unpacks a file and draws its weights.
func fill(name string, packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("models: embedded %s: %w", name, err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("models: embedded %s: %w", name, err)
	}
	var m onnxpb.ModelProto
	if err := proto.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("models: embedded %s: %w", name, err)
	}
	draw(m.GetGraph().GetInitializer())
	return proto.MarshalOptions{Deterministic: true}.Marshal(&m)
}

// draw gives every weight, and the bias beside it, PyTorch's default initial distribution: uniform between
// ±1/sqrt(fan-in), the fan-in of a weight being the product of all its dimensions but the first, and in an LSTM
// the number of hidden units for all tensors; standard normal for the embedding. BatchNorm's tensors have one
// dimension and no such weight beside them; they stay as they are.
func draw(tensors []*onnxpb.TensorProto) {
	fanIn := map[string]int64{} // by layer
	for _, t := range tensors {
		layer, kind, _ := strings.Cut(t.GetName(), ".")
		switch {
		case strings.HasPrefix(kind, "weight_hh_"):
			fanIn[layer] = t.Dims[1]
		case kind == "weight" && len(t.Dims) > 1:
			n := int64(1)
			for _, d := range t.Dims[1:] {
				n *= d
			}
			fanIn[layer] = n
		}
	}
	for i, t := range tensors {
		layer, _, _ := strings.Cut(t.GetName(), ".")
		if layer == "embed" {
			normal(t.RawData, uint64(i))
		} else if n, ok := fanIn[layer]; ok {
			uniform(t.RawData, uint64(i), float32(1/math.Sqrt(float64(n))))
		}
	}
}

// normal fills little-endian float32 data with standard normals, as uniform does.
func normal(raw []byte, index uint64) {
	x := make([]float32, len(raw)/4)
	rng.Stream{Seed: 0, Purpose: rng.Init, Eval: index}.Normals(x, 0)
	for i, v := range x {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
	}
}

// uniform fills little-endian float32 data between ±bound. The numbers depend on the tensor's index alone.
func uniform(raw []byte, index uint64, bound float32) {
	s := rng.Stream{Seed: 0, Purpose: rng.Init, Eval: index}
	var words [4]uint32
	for i := 0; 4*i < len(raw); i++ {
		if i%4 == 0 {
			words = s.Block(uint32(i / 4))
		}
		v := (2*rng.Uniform(words[i%4]) - 1) * bound
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
	}
}
