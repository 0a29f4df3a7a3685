package dataset

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/internal/fixture"
)

var twoInputs = []Input{{"ids", "INT64 batchx3"}, {"train_mask", "BOOL batchx3"}}

// writeArrays makes a directory and an archive of the arrays.
func writeArrays(t *testing.T, arrays map[string][]byte) (dir, archive string) {
	t.Helper()
	dir, archive = t.TempDir(), filepath.Join(t.TempDir(), "a.npz")
	for name, b := range arrays {
		if err := os.WriteFile(filepath.Join(dir, name+".npy"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(archive, fixture.NPZ(arrays), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, archive
}

// An array for each input, in an archive or a directory, with the part in front or behind; integers stay integers.
func TestInputs(t *testing.T) {
	big := int64(1)<<53 + 1 // no float64, let alone float32
	arrays := map[string][]byte{
		"ids_train": fixture.NPY([]int64{big, 2, 3, 4, 5, -6}, 2, 3), "train-train_mask": fixture.NPY([]bool{true, false, true, true, true, false}, 2, 3),
		"y_train":  fixture.NPY([]int64{1, 0}, 2),
		"test_ids": fixture.NPY([]int32{7, 8, 9}, 1, 3), "train_mask.test": fixture.NPY([]byte{2, 0, 255}, 1, 3), "test-labels": fixture.NPY([]int32{2}, 1),
		"other": fixture.NPY([]float32{1}, 1),
	}
	dir, archive := writeArrays(t, arrays)
	for _, path := range []string{dir, archive, filepath.Dir(archive)} {
		d, err := OpenWith(path, Options{Inputs: twoInputs})
		if err != nil {
			t.Fatal(err)
		}
		ids, mask := make([]int64, 6), make([]int64, 6)
		y := make([]int64, 2)
		for _, err := range []error{d.Train.Inputs[0].FillInts(ids, []int{1, 0}), d.Train.Inputs[1].FillInts(mask, []int{1, 0}), d.Train.FillLabels(y, []int{1, 0})} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if got, want := fmt.Sprint(ids, mask, y, d.Train.Len(), d.Train.Classes), fmt.Sprintf("%v [1 1 0 1 0 1] [0 1] 2 2", []int64{4, 5, -6, big, 2, 3}); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		mask = mask[:3]
		if err := d.Test.Inputs[1].FillInts(mask, []int{0}); err != nil || fmt.Sprint(mask, d.Test.Labels, d.Test.Inputs[0].Ints) != "[2 0 255] [2] [7 8 9]" {
			t.Errorf("%s: %v, %v", path, mask, err)
		}
		if d.Valid != nil {
			t.Error("a part that is not there")
		}
		if err := d.Train.Fill(make([]float32, 2), nil, []int{0, 1}); err == nil {
			t.Error("the samples of several inputs were taken for those of one")
		}
		before := d.Train.Digest()
		d.Train.Inputs[0].Ints[0]++
		if d.Train.Digest() == before {
			t.Error("the digest does not depend on the integers")
		}
	}
	d, err := OpenWith(archive, Options{Inputs: twoInputs[:1]}) // others are not looked at
	if err != nil || d.Train.Ints[0] != big || d.Train.Inputs != nil || d.Test.Labels[0] != 2 {
		t.Errorf("one input: %+v, %v", d, err)
	}
	if _, err := OpenWith(archive, Options{Inputs: twoInputs[:1], Target: "other"}); err == nil {
		t.Error("a target that is not one for each sample")
	}
}

func TestRoles(t *testing.T) {
	odd := "\xff(+/a:0" // a model's file may name an input so
	o := Options{Inputs: []Input{{Name: "ids"}, {Name: "train_ids"}, {Name: odd}, {Name: "labels"}}}
	one := Options{Inputs: []Input{{Name: "ids"}}}
	target := Options{Inputs: o.Inputs, Target: "("}
	for _, c := range []struct {
		o    Options
		name string
		want string
	}{
		{o, "ids", "{train 0}"}, {o, "ids_train", "{train 0}"}, {o, "TEST-ids", "{test 0}"}, {o, "testids", "{test 0}"}, {o, "ids.val", "{valid 0}"},
		{o, "train_ids", "{train 1}"}, {o, "train_train_ids", "{train 1}"}, {o, "train_ids_test", "{test 1}"}, {o, "valid_ids", "{valid 0}"},
		{o, odd, "{train 2}"}, {o, "test_\xff(+_a_0", "{test 2}"}, {o, "labels", "{train 3}"}, {o, "label", "{train -1}"}, {o, "y-test", "{test -1}"},
		{o, "x", ""}, {o, "Ids", ""}, {o, "", ""}, {o, "train", ""}, {o, "_train", ""}, {one, "x", "{train 0}"}, {one, "X_test", "{test 0}"}, {one, "inputs.valid", "{valid 0}"},
		{Options{}, "test-images", "{test 0}"}, {Options{}, "ids", ""}, {target, "(", "{train -1}"}, {target, "test_(", "{test -1}"}, {target, "y", ""},
	} {
		r, ok := c.o.role(c.name)
		got := ""
		if ok {
			got = fmt.Sprint(r)
		}
		if got != c.want {
			t.Errorf("%q is for %s, want %s", c.name, got, c.want)
		}
	}
}

func TestInputsCut(t *testing.T) {
	var ids []int64
	for i := range int64(20) {
		ids = append(ids, i)
	}
	x := &Array{Name: "ids", Shape: []int{20}, Ints: ids}
	s, err := Combine([]*Array{x, {Name: "m", Shape: []int{20, 1}, Ints: ids}}, &Array{Name: "y", Shape: []int{20}, Ints: ids})
	if err != nil {
		t.Fatal(err)
	}
	d := &Data{Train: s}
	if err := d.Cut(Split{0.5, 0.25, 0.25}); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, s := range []*Set{d.Train, d.Valid, d.Test} {
		for i, v := range s.Labels {
			if s.Inputs[0].Ints[i] != v || s.Inputs[1].Ints[i] != v {
				t.Errorf("%s: label %d goes with %d and %d", s.Name, v, s.Inputs[0].Ints[i], s.Inputs[1].Ints[i])
			}
			seen++
		}
	}
	if seen != 20 || d.Train.Len() != 10 {
		t.Errorf("%d samples, %d for training", seen, d.Train.Len())
	}
}

func TestInputsErrors(t *testing.T) {
	good := map[string][]byte{"ids": fixture.NPY([]int64{1, 2, 3}, 1, 3), "train_mask": fixture.NPY([]int64{1, 2, 3}, 1, 3), "y": fixture.NPY([]int64{1}, 1)}
	with := func(changes map[string][]byte) map[string][]byte {
		m := maps.Clone(good)
		for k, v := range changes {
			if m[k] = v; v == nil {
				delete(m, k)
			}
		}
		return m
	}
	for _, c := range []struct {
		name   string
		arrays map[string][]byte
		target string
		want   string
	}{
		{"missing", with(map[string][]byte{"train_mask": nil}), "",
			`PATH: there is no array for the input "train_mask" (BOOL batchx3) of the network: looked for train_mask, train_mask_train or train-train_mask; there is ids, y`},
		{"missing in the test part", with(map[string][]byte{"test_ids": good["ids"]}), "",
			`there is no array for the input "train_mask" (BOOL batchx3) of the network: looked for train_mask_test or test-train_mask; there is ids, test_ids, train_mask, y`},
		{"none", map[string][]byte{"x": good["ids"]}, "", `there is no array for the input "ids" (INT64 batchx3) of the network: looked for ids, or ids_train and ids_test; there is x`},
		{"twice", with(map[string][]byte{"ids_train": good["ids"]}), "", "which of the arrays ids and ids_train is meant? Name them ids, train_mask and y"},
		{"counts", with(map[string][]byte{"train_mask": fixture.NPY([]int64{1, 2, 3, 4, 5, 6}, 2, 3)}), "", "train_mask.npy: sample count 2 differs from 1 in FILEids.npy"},
		{"labels", with(map[string][]byte{"y": fixture.NPY([]int64{1, 2}, 2)}), "", "y.npy: label count 2 differs from 1 samples in FILEids.npy, train_mask.npy"},
		{"empty", with(map[string][]byte{"ids": fixture.NPY([]int64{}, 0, 3)}), "", "ids.npy: shape [0 3] holds no value"},
		{"scalar", with(map[string][]byte{"ids": fixture.NPY([]int64{1})}), "", "ids.npy: is a single value, not one for each sample"},
		{"target", good, "z", "there is no array for --target z, named so or with its part, such as z_train; there is ids, train_mask, y"},
	} {
		dir, archive := writeArrays(t, c.arrays)
		for _, path := range []string{dir, archive} {
			file := ""
			if path == archive {
				file = archive + ": "
			}
			want := strings.NewReplacer("PATH", path, "FILE", file).Replace(c.want)
			if _, err := OpenWith(path, Options{Inputs: twoInputs, Target: c.target}); err == nil || !strings.HasPrefix(err.Error(), "dataset: ") || !strings.Contains(err.Error(), want) {
				t.Errorf("%s:\ngot  %v\nwant %s", c.name, err, want)
			}
		}
	}
	dir, _ := writeArrays(t, nil)
	csv := filepath.Join(dir, "a.csv")
	if err := os.WriteFile(csv, []byte("ids,y\n1,2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, csv} {
		if _, err := OpenWith(path, Options{Inputs: twoInputs}); err == nil || !strings.Contains(err.Error(), "the network has 2 inputs, ids, train_mask; give an NPZ file or a directory of NPY files") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
