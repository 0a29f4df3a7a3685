package dataset

import (
	"archive/tar"
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Images are decoded as Pillow does, PNG to the bit, and JPEG nearly: decoders round differently.
func TestImagesArePillows(t *testing.T) {
	d, err := Open("testdata/images")
	if err != nil {
		t.Fatal(err)
	}
	want, err := ReadArray("testdata/images.npy") // (image, height, width, 3)
	if err != nil {
		t.Fatal(err)
	}
	s := d.Train
	if fmt.Sprint(s.Shape, s.Len(), s.Labels, s.Classes, s.ClassNames) != "[3 6 8] 8 [0 1 2 3 12 4 5 6] 13 []" {
		t.Fatal(s.Shape, s.Len(), s.Labels, s.Classes, s.ClassNames)
	}
	for i := range s.Len() {
		worst := 0
		for c := range 3 {
			for p := range 48 {
				got, w := int(s.Bytes[(i*3+c)*48+p]), int(want.Bytes[(i*48+p)*3+c])
				worst = max(worst, got-w, w-got)
			}
		}
		if most := []int{0, 0, 0, 0, 0, 3, 3, 3}[i]; worst > most {
			t.Errorf("image %d differs from Pillow's by %d of 255", i, worst)
		}
	}
}

// picture is a PNG of one grey level, or of a colour.
func picture(w, h int, c color.Color) []byte {
	var m interface {
		image.Image
		Set(x, y int, c color.Color)
	} = image.NewNRGBA(image.Rect(0, 0, w, h))
	if _, grey := c.(color.Gray); grey {
		m = image.NewGray(image.Rect(0, 0, w, h))
	}
	for i := range w * h {
		m.Set(i%w, i/w, c)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func grey(v uint8) []byte { return picture(4, 3, color.Gray{v}) }

type entry struct {
	name string
	data []byte
}

func archive(entries ...entry) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(&tar.Header{Name: e.name, Mode: 0o600, Size: int64(len(e.data)), Typeflag: tar.TypeReg}); err != nil {
			panic(err)
		}
		w.Write(e.data)
	}
	w.Close()
	return b.Bytes()
}

func TestImageFolders(t *testing.T) {
	files := []entry{{"data/train/dog/1.png", grey(10)}, {"data/train/dog/2.png", grey(20)}, {"data/train/cat/x/1.png", grey(30)},
		{"data/train/notes.txt", []byte("no image")}, {"data/test/dog/7.png", grey(40)}, {"data/val/cat/7.png", grey(50)}}
	dir := t.TempDir()
	for _, f := range files {
		put(t, dir, f.name, string(f.data))
	}
	put(t, dir, "all.tar.gz", string(zipped(archive(files...))))
	for _, path := range []string{"data", "all.tar.gz"} {
		d, err := Open(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, s := range []*Set{d.Train, d.Valid, d.Test} {
			got += fmt.Sprint(s.Shape, s.Labels, s.ClassNames, s.Classes, s.Bytes[:1], "; ")
		}
		want := "[1 3 4] [0 1 1] [cat dog] 2 [30]; [1 3 4] [0] [cat dog] 2 [50]; [1 3 4] [1] [cat dog] 2 [40]; "
		if path != "data" { // in the order of the archive
			want = strings.Replace(strings.Replace(want, "[0 1 1]", "[1 1 0]", 1), "[30]", "[10]", 1)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	// Folders that are numbers count by value; one coloured image makes all coloured.
	put(t, dir, "n/10/1.png", string(grey(1)))
	put(t, dir, "n/2/1.png", string(picture(4, 3, color.NRGBA{1, 2, 3, 255})))
	d, err := Open(filepath.Join(dir, "n"))
	if err != nil || fmt.Sprint(d.Train.ClassNames, d.Train.Labels, d.Train.Shape) != "[2 10] [1 0] [3 3 4]" || fmt.Sprint(d.Train.Bytes[36], d.Train.Bytes[48], d.Train.Bytes[60]) != "1 2 3" {
		t.Errorf("%+v, %v", d.Train, err)
	}
	// Classes that a model records keep their numbers; others are an error.
	d, err = OpenWith(filepath.Join(dir, "n"), Options{Classes: []string{"10", "7", "2"}})
	if err != nil || fmt.Sprint(d.Train.Labels) != "[0 2]" || d.Train.Classes != 3 {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := OpenWith(filepath.Join(dir, "n"), Options{Classes: []string{"10"}}); err == nil || !strings.Contains(err.Error(), `"2"`) {
		t.Errorf("error %v", err)
	}
}

func TestImageArchives(t *testing.T) {
	dir := write(t, map[string][]byte{
		"cifar-train-jpeg.tar.gz": zipped(archive(entry{"train/00000_6.png", grey(1)}, entry{"train/00001_9.png", grey(2)})),
		"cifar-test-jpeg.tar":     archive(entry{"test/00000_3.png", grey(3)}),
		"data_batch_1.bin":        cifarFile(1), // another form of the same data, of which there is less
	})
	d, err := Open(dir)
	if err != nil || fmt.Sprint(d.Train.Labels, d.Test.Labels, d.Train.Shape, d.Test.Bytes[0]) != "[6 9] [3] [1 3 4] 3" {
		t.Fatalf("%+v, %v", d, err)
	}
}

func TestImageErrors(t *testing.T) {
	good := entry{"a/1.png", grey(1)}
	huge := slices.Clone(grey(1))
	copy(huge[16:], []byte{0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff})
	for part, entries := range map[string][]entry{
		"a/2.png: is 5 x 3 pixels, and a/1.png is 4 x 3": {good, {"a/2.png", picture(5, 3, color.Gray{1})}},
		"1.png: no class is known":                       {{"1.png", grey(1)}},
		"x_2.png: classes are either folders or numbers": {good, {"x_2.png", grey(1)}},
		"a/2.jpg: is neither PNG nor JPEG":               {good, {"a/2.jpg", []byte("GIF89a")}},
		"holds no image":                                 {{"a.txt", nil}},
		"a/1.png: png: invalid format: invalid checksum": {{"a/1.png", huge}},
		"a/1.png: unexpected EOF":                        {{"a/1.png", grey(1)[:20]}},
		"is no tar archive":                              nil,
	} {
		data := archive(entries...)
		if strings.HasPrefix(part, "is no tar") {
			data = bytes.Repeat([]byte("x"), 2000)
		} else if entries == nil {
			continue
		}
		path := filepath.Join(t.TempDir(), "x.tar")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v; want %q in it", err, part)
		}
	}
}

func TestCut(t *testing.T) {
	s := &Set{Name: "t", Shape: []int{2}, LabelShape: nil}
	for i := range 50 {
		s.Floats = append(s.Floats, float32(i), float32(-i))
		s.Labels = append(s.Labels, int64(i))
	}
	d := &Data{Train: s}
	if err := d.Cut(Split{0.7, 0.1, 0.2}); err != nil {
		t.Fatal(err)
	}
	seen := map[int64]bool{}
	for _, p := range []struct {
		s *Set
		n int
	}{{d.Train, 35}, {d.Valid, 5}, {d.Test, 10}} {
		if p.s.Len() != p.n || len(p.s.Labels) != p.n {
			t.Errorf("%d samples, want %d", p.s.Len(), p.n)
		}
		for i, l := range p.s.Labels {
			if seen[l] || p.s.Floats[2*i] != float32(l) || p.s.Floats[2*i+1] != float32(-l) {
				t.Errorf("label %d with %v", l, p.s.Floats[2*i])
			}
			seen[l] = true
		}
	}
	if d.Cut(Split{0.7, 0.1, 0.2}) == nil {
		t.Error("parts are cut again")
	}
}

func FuzzImages(f *testing.F) {
	f.Add(archive(entry{"a/1.png", grey(1)}, entry{"b/2.png", grey(2)}))
	f.Add(zipped(archive(entry{"train/1_2.png", grey(1)})))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x.tar")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if d, err := Open(path); err == nil && d.Train == nil && d.Valid == nil && d.Test == nil {
			t.Error("neither data nor an error")
		}
	})
}
