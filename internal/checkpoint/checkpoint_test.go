package checkpoint

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
)

func sample(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	w.JSON("run", map[string]int{"evals": 7})
	w.Floats("vec.0", []float32{1, -0.5, float32(math.Inf(1)), math.Float32frombits(0x7fc00123), 0})
	w.Floats("empty", nil)
	w.Bytes("extra", []byte{0, 1, 2})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(b []byte) (File, error) { return Read(bytes.NewReader(b), int64(len(b))) }

func TestWhatIsWrittenIsRead(t *testing.T) {
	f, err := read(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]int
	if err := f.JSON("run", &v); err != nil || v["evals"] != 7 {
		t.Errorf("run is %v, %v", v, err)
	}
	x, err := f.Floats("vec.0")
	if err != nil || len(x) != 5 || math.Float32bits(x[3]) != 0x7fc00123 || x[1] != -0.5 {
		t.Errorf("vec.0 is %v, %v: NaN's bits must stay", x, err)
	}
	if x, err := f.Floats("empty"); err != nil || len(x) != 0 {
		t.Errorf("empty is %v, %v", x, err)
	}
	if _, err := f.Floats("extra"); err == nil {
		t.Error("3 bytes were read as float32")
	}
	if _, err := f.Floats("absent"); err == nil {
		t.Error("a missing section was read")
	}
}

// Every prefix of a file and every flipped bit must be noticed.
func TestDamageIsFound(t *testing.T) {
	whole := sample(t)
	for n := range whole {
		if _, err := read(whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were read as a whole file", n, len(whole))
		}
	}
	for i := range whole {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[i] ^= 1 << bit
			if _, err := read(b); err == nil {
				t.Errorf("bit %d of byte %d was flipped unnoticed", bit, i)
			}
		}
	}
	if _, err := read(append(bytes.Clone(whole), 0)); err == nil || !strings.Contains(err.Error(), "follow") {
		t.Errorf("a byte behind the end: %v", err)
	}
}

func TestOtherFilesAreNamed(t *testing.T) {
	if _, err := read([]byte("PK\x03\x04 something else")); err == nil || !strings.Contains(err.Error(), "no checkpoint") {
		t.Error(err)
	}
	b := sample(t)
	b[len(magic)] = 9
	if _, err := read(b); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Error(err)
	}
}

type fullDisk struct{ room int }

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.room -= len(b); d.room < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(b), nil
}

func TestWriterKeepsItsFirstError(t *testing.T) {
	w := NewWriter(&fullDisk{room: 100_000})
	w.Floats("big", make([]float32, 100_000))
	w.JSON("run", 1)
	if err := w.Close(); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("a full disk gave %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sample(f))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := read(b)
		if err != nil {
			return
		}
		// What was read as whole must be written as the same content.
		var out bytes.Buffer
		w := NewWriter(&out)
		for name, data := range c {
			w.Bytes(name, data)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := read(out.Bytes())
		if err != nil || len(again) != len(c) {
			t.Fatalf("%v; %d sections of %d", err, len(again), len(c))
		}
	})
}
