package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const flowers = "\ufeffwidth, length,kind\n1.5,2,rose\n-3,4e1,\"lily, white\"\n0.25, 7 ,rose\n"

func TestCSV(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "f.csv", flowers)
	d, err := OpenWith(filepath.Join(dir, "f.csv"), Options{Target: "kind"})
	if err != nil {
		t.Fatal(err)
	}
	s := d.Train
	if fmt.Sprint(s.Shape, s.Columns, s.Floats, s.Labels, len(s.ClassNames), s.ClassNames) != "[2] [width length] [1.5 2 -3 40 0.25 7] [1 0 1] 2 [lily, white rose]" {
		t.Errorf("%+v", s)
	}
	// Whole numbers are classes, others values to be regressed; without a target for predictions there is none.
	put(t, dir, "n.csv.gz", string(zipped([]byte("a,b,c\n1,0,0.5\n2,3,-1\n"))))
	for target, want := range map[string]string{"b": "[0 3] [] 4", "c": "[] [0.5 -1] 0"} {
		d, err := OpenWith(filepath.Join(dir, "n.csv.gz"), Options{Target: target})
		if err != nil || fmt.Sprint(d.Train.Labels, d.Train.Targets, d.Train.Classes) != want {
			t.Errorf("%s: %+v, %v", target, d, err)
		}
	}
	d, err = OpenWith(filepath.Join(dir, "f.csv"), Options{Target: "none", NoTarget: true})
	if err == nil {
		t.Errorf("names are read as numbers: %+v", d.Train)
	}
	// Parts, with the columns in another order and the classes of training.
	put(t, dir, "parts/train.csv", flowers)
	put(t, dir, "parts/test.csv", "kind,length,width\nrose,1,2\n")
	d, err = OpenWith(filepath.Join(dir, "parts"), Options{Target: "kind"})
	if err != nil || fmt.Sprint(d.Test.Floats, d.Test.Labels, d.Test.Columns) != "[2 1] [1] [width length]" {
		t.Errorf("%+v, %v", d, err)
	}
	// A model knows columns and classes already.
	d, err = OpenWith(filepath.Join(dir, "parts/test.csv"), Options{Target: "kind", Columns: []string{"width", "length"}, Classes: []string{"oak", "rose"}})
	if err != nil || fmt.Sprint(d.Train.Floats, d.Train.Labels, d.Train.Classes) != "[2 1] [1] 2" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestCSVErrors(t *testing.T) {
	for _, c := range []struct{ file, target, part string }{
		{"a,b\n1,2\n", "", `its columns are a, b; name the one to be predicted with --target`},
		{"a,b\n1,2\n", "c", `has no column "c" to be the target; its columns are a, b`},
		{"a,b\n1,x\n,y\n", "b", `line 3, column 1 (a): "", a missing value, where a finite number is expected`},
		{"a,b\n1,x\nNA,y\n", "b", `line 3, column 1 (a): "NA", a missing value,`},
		{"a,b,c\n1,x,2\n3,y,zzz\n", "b", `line 3, column 3 (c): "zzz" where a finite number is expected`},
		{"a,b\n1,x\n2,?\n", "b", `line 3, column 2 (b): "?", a missing value, where a target is expected`},
		{"a,b\n1,x\n1e99,y\n", "b", `line 3, column 1 (a): "1e99" where a finite number`},
		{"a,b\n1,2\n3\n", "b", `line 3: the number of fields is 1, that of the header 2`},
		{"a,b\n1,\"2\n", "b", `line 2, character 6: extraneous or missing`},
		{"a;b\n1;2\n", "b", `its header is "a;b"; separate the columns by commas`},
		{"\x01a,b\n1,2\n", "c", `its columns are "\x01a", b`},
		{"1,2\n3,4\n", "b", `line 1, column 1: "1" is a number where the name`},
		{"a,a\n3,4\n", "a", `line 1, column 2: its name is "a"`},
		{"a,b\n", "b", "no rows"},
		{"b\n1\n", "b", "no column but the target"},
		{"", "b", "is empty"},
	} {
		path := filepath.Join(t.TempDir(), "x.csv")
		if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenWith(path, Options{Target: c.target}); err == nil || !strings.Contains(err.Error(), c.part) {
			t.Errorf("%q: error %v; want %q in it", c.file, err, c.part)
		}
	}
	dir := t.TempDir()
	put(t, dir, "train.csv", flowers)
	for test, part := range map[string]string{
		"width,kind\n1,rose\n":                 `has no column "length"`,
		"width,length,kind,more\n1,2,rose,3\n": `its column "more" is none of width, length`,
		"width,length,kind\n1,2,oak\n":         `test.csv: line 2, column 3 (kind): "oak" is none of the 2 classes`,
	} {
		put(t, dir, "test.csv", test)
		if _, err := OpenWith(dir, Options{Target: "kind"}); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: error %v; want %q in it", test, err, part)
		}
	}
}

// NumPy's archives, packed and not, made by testdata/image_files.py.
func TestNPZ(t *testing.T) {
	describe := func(s *Set) string {
		if s == nil {
			return "none"
		}
		return fmt.Sprint(s.Shape, s.Len(), s.Floats[1], s.Labels, s.Targets)
	}
	for _, c := range []struct{ file, target, want string }{
		{"plain", "", "[2 3] 4 0.125 [2 0 1 2] []; none"},
		{"packed", "", "[2 3] 4 0.125 [2 0 1 2] []; [2 3] 2 0.125 [2 0] []"},
		{"named", "amperes", "[2 3] 4 0.125 [] [0 0.75 1.5 2.25]; none"},
	} {
		d, err := OpenWith("testdata/"+c.file+".npz", Options{Target: c.target})
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(d.Train) + "; " + describe(d.Test); got != c.want {
			t.Errorf("%s: %s, want %s", c.file, got, c.want)
		}
	}
	for file, part := range map[string]string{"named": "looked for arrays x and y", "u1.npy": "no NPZ"} {
		b, err := os.ReadFile("testdata/" + strings.TrimSuffix(file, ".npy") + map[bool]string{true: ".npy", false: ".npz"}[strings.HasSuffix(file, ".npy")])
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "x.npz")
		os.WriteFile(path, b, 0o600)
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: error %v; want %q in it", file, err, part)
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add(flowers, "kind")
	f.Add("a,b\n1,2\n", "b")
	f.Fuzz(func(t *testing.T, file, target string) {
		path := filepath.Join(t.TempDir(), "x.csv")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := OpenWith(path, Options{Target: target})
		if err != nil {
			return
		}
		s := d.Train
		if s.Len() == 0 || s.Len()*s.Size() != len(s.Floats) || len(s.Labels)+len(s.Targets) != s.Len() {
			t.Errorf("%d samples of %v with %d labels and %d targets", s.Len(), s.Shape, len(s.Labels), len(s.Targets))
		}
	})
}

func FuzzNPZ(f *testing.F) {
	for _, name := range []string{"plain", "packed", "named"} {
		b, err := os.ReadFile("testdata/" + name + ".npz")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x.npz")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		Open(path)
	})
}
