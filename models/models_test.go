package models

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// The counts follow from the layers: 784-1024-1024-10 with two BatchNorms, and so on. The paper gives 1.67 M
// for allcnn.
func TestOpen(t *testing.T) {
	for name, weights := range map[string]int{
		"mnistfc":   785*1024 + 1025*1024 + 1025*10 + 2*2*1024,
		"mnistconv": 26*20 + 501*50 + 201*500 + 501*10 + 2*(20+50+500),
		"charlstm":  87*128 + 2*(2*4*128*128+2*4*128) + 129*87,
		"ptblstm":   10000*200 + 2*(2*4*200*200+2*4*200) + 201*10000,
		"allcnn":    28*96 + 2*865*96 + 865*192 + 4*1729*192 + 193*10 + 2*(3*96+5*192+10),
	} {
		t.Run(name, func(t *testing.T) {
			b, err := Open(name)
			if err != nil {
				t.Fatal(err)
			}
			var m onnxpb.ModelProto
			if err := proto.Unmarshal(b, &m); err != nil {
				t.Fatal(err)
			}
			total := 0
			for _, p := range m.Graph.Initializer {
				n := len(p.RawData) / 4
				if !strings.Contains(p.GetName(), ".running_") {
					total += n
				}
				checkInitial(t, p, n)
			}
			if total != weights {
				t.Errorf("%d weights, want %d", total, weights)
			}
			again, err := Open(name)
			if err != nil || !bytes.Equal(b, again) {
				t.Errorf("a second Open differs (%v)", err)
			}
		})
	}
}

// checkInitial compares a tensor with PyTorch's default initialisation. The bound of a bias is not known here
// without its weight, so only that it is not constant.
func checkInitial(t *testing.T, p *onnxpb.TensorProto, n int) {
	elements := int64(1)
	for _, d := range p.Dims {
		elements *= d
	}
	if int64(n) != elements {
		t.Fatalf("%s: %d values for shape %v", p.GetName(), n, p.Dims)
	}
	layer, kind, _ := strings.Cut(p.GetName(), ".")
	low, high, sum, squares := math.Inf(1), math.Inf(-1), 0.0, 0.0
	for i := range n {
		v := float64(math.Float32frombits(binary.LittleEndian.Uint32(p.RawData[4*i:])))
		low, high, sum, squares = min(low, v), max(high, v), sum+v, squares+v*v
	}
	switch {
	case layer == "embed":
		// Within five standard deviations of the mean and of the mean square.
		if mean, ms := sum/float64(n), squares/float64(n); math.Abs(mean) > 5/math.Sqrt(float64(n)) || math.Abs(ms-1) > 5*math.Sqrt(2/float64(n)) {
			t.Errorf("%s: mean %g, mean square %g", p.GetName(), mean, ms)
		}
	case len(p.Dims) > 1:
		bound := math.Sqrt(float64(p.Dims[0]) / float64(n))
		if low < -bound*1.000001 || high > bound*1.000001 || low > -0.95*bound || high < 0.95*bound {
			t.Errorf("%s: values in [%g, %g], want all of ±%g", p.GetName(), low, high, bound)
		}
		// Mean and mean square of n uniform numbers, within five standard deviations.
		if mean := sum / float64(n); math.Abs(mean) > 5*bound/math.Sqrt(3*float64(n)) {
			t.Errorf("%s: mean %g", p.GetName(), mean)
		}
		if ms := squares / float64(n); math.Abs(ms-bound*bound/3) > 5*bound*bound*math.Sqrt(4./45/float64(n)) {
			t.Errorf("%s: mean square %g, want %g", p.GetName(), ms, bound*bound/3)
		}
	case strings.HasPrefix(layer, "bn"):
		want := 0.0
		if kind == "weight" || kind == "running_var" {
			want = 1
		}
		if low != want || high != want {
			t.Errorf("%s: values in [%g, %g], want %g", p.GetName(), low, high, want)
		}
	case low == high:
		t.Errorf("%s is constant, %g", p.GetName(), low)
	}
}

func TestOpenGivesACopy(t *testing.T) {
	for _, name := range Names() {
		a, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Clone(a)
		clear(a)
		if b, _ := Open(name); !bytes.Equal(b, want) {
			t.Errorf("%s: a caller changed the embedded file", name)
		}
	}
}

func TestOpenUnknown(t *testing.T) {
	_, err := Open("lenet")
	if err == nil || !strings.Contains(err.Error(), `"lenet"`) || !strings.Contains(err.Error(), "mnistfc, mnistconv, allcnn, charlstm") {
		t.Errorf("error %v", err)
	}
}
