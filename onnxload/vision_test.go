package onnxload_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// Boxes 0, 1 and 2 share four fifths with their neighbour, box 3 nothing with any; box 4 is box 3 with its corners exchanged.
func TestNonMaxSuppression(t *testing.T) {
	corners := []float32{0, 0, 1, 9, 0, 1, 1, 10, 0, 2, 1, 11, 5, 5, 6, 6, 6, 6, 5, 5}
	centred := []float32{4.5, 0.5, 9, 1, 5.5, 0.5, 9, 1, 6.5, 0.5, 9, 1, 5.5, 5.5, 1, 1, 5.5, 5.5, 1, 1}
	for _, c := range []struct {
		name   string
		scores []float32
		limits []float32 // most, overlap, least score
		want   []int64   // boxes that are kept, of class 0
	}{
		{"no limit is a limit of 0", []float32{5, 4, 3, 2, 1}, nil, nil},
		{"neighbours", []float32{5, 4, 3, 2, 1}, []float32{9, 0.75}, []int64{0, 2, 3}},
		{"by score", []float32{3, 5, 4, 1, 2}, []float32{9, 0.75}, []int64{1, 4}},
		{"any overlap", []float32{5, 4, 3, 2, 1}, []float32{9}, []int64{0, 3}},
		{"exactly as much as is allowed", []float32{5, 4, 3, 2, 1}, []float32{9, 0.8}, []int64{0, 1, 2, 3}},
		{"everything", []float32{1, 1, 1, 1, 1}, []float32{9, 1}, []int64{0, 1, 2, 3, 4}},
		{"two", []float32{5, 4, 3, 2, 1}, []float32{2, 1}, []int64{0, 1}},
		{"above a score", []float32{5, 4, 3, 2, 1}, []float32{9, 1, 3}, []int64{0, 1}},
	} {
		for _, form := range []struct {
			boxes []float32
			attr  int
		}{{corners, 0}, {centred, 1}} {
			inits := list(floats("boxes", []int64{1, 5, 4}, form.boxes...), floats("scores", []int64{1, 1, 5}, c.scores...))
			in := list("boxes", "scores")
			for i, v := range c.limits {
				name := list("most", "overlap", "least")[i]
				in = append(in, name)
				if i == 0 {
					inits = append(inits, scalar(name, int64(v)))
				} else {
					inits = append(inits, floats(name, nil, v))
				}
			}
			m := must(onnxload.Parse(marshal(model(11, nil, inits, list(node("NonMaxSuppression", in, list("y"), "center_point_box", form.attr)), "y"))))
			net, err := m.Build(1, onnxload.Options{})
			if err != nil {
				t.Fatal(c.name, err)
			}
			if s := net.Outputs[0].Shape(); !slices.Equal(s, []int{len(c.want), 3}) {
				t.Errorf("%s, center_point_box %d: a result of shape %v, want %d boxes", c.name, form.attr, s, len(c.want))
				continue
			}
			if len(c.want) == 0 {
				continue
			}
			for k, v := range run(t, net, nil, net.Outputs[0])[0] {
				if want := list(0, 0, c.want[k/3])[k%3]; int64(v) != want {
					t.Errorf("%s, center_point_box %d: row %d has %v at %d, want %d", c.name, form.attr, k/3, v, k%3, want)
				}
			}
		}
	}
}

// How many boxes are kept depends on their numbers, so boxes that are data are refused, in one line.
func TestNonMaxSuppressionOfData(t *testing.T) {
	m := must(onnxload.Parse(marshal(model(11, list(input("boxes", 1, 5, 4), input("scores", 1, 1, 5)), nil,
		list(node("NonMaxSuppression", list("boxes", "scores"), list("y"))), "y"))))
	_, err := m.Build(1, onnxload.Options{})
	if err == nil || !strings.Contains(err.Error(), "supported only on constants") || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}
