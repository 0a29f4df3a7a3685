package dataset

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// naiveSymbols splits a text in the obvious way.
func naiveSymbols(unit, text string) (s []string) {
	switch unit {
	case ByteUnit:
		for i := range len(text) {
			s = append(s, text[i:i+1])
		}
	case CharUnit:
		for _, r := range text {
			s = append(s, string(r))
		}
	case WordUnit:
		for i, line := range strings.Split(text, "\n") {
			if i > 0 {
				s = append(s, EndOfLine)
			}
			s = append(s, strings.Fields(line)...)
		}
	}
	return s
}

const sample = " the cat saw the dog\r\n and thé dog\tsaw\n\nthe end"

func TestVocabulary(t *testing.T) {
	for _, unit := range []string{ByteUnit, CharUnit, WordUnit} {
		v, err := NewVocabulary(unit, textOf("f", []byte(sample)), 0)
		if err != nil {
			t.Fatal(err)
		}
		ids, unknown, err := v.Encode(textOf("f", []byte(sample)))
		if err != nil || unknown != 0 {
			t.Fatal(unknown, err)
		}
		counts := map[string]int{}
		for i, s := range naiveSymbols(unit, sample) {
			if i >= len(ids) || v.Symbols[ids[i]] != s {
				t.Fatalf("%s: symbol %d of %d is not %q", unit, i, len(ids), s)
			}
			counts[s]++
		}
		if len(v.Symbols) != len(counts)+1 || v.Symbols[len(counts)] != Unknown {
			t.Errorf("%s: %d symbols for %d; the last is %q", unit, len(v.Symbols), len(counts), v.Symbols[len(v.Symbols)-1])
		}
		for i := 1; i < len(counts); i++ {
			a, b := v.Symbols[i-1], v.Symbols[i]
			if counts[a] < counts[b] || counts[a] == counts[b] && a >= b {
				t.Errorf("%s: %q (%d times) in front of %q (%d)", unit, a, counts[a], b, counts[b])
			}
		}
		list, err := v.MarshalText()
		if err != nil || !utf8.Valid(list) {
			t.Fatal(err)
		}
		again, err := ParseVocabulary(unit, string(list))
		if err != nil || !slices.Equal(again.Symbols, v.Symbols) {
			t.Errorf("%s: %q becomes %q (%v)", unit, v.Symbols, again.Symbols, err)
		}
	}
}

// A vocabulary of limited size keeps the most frequent and numbers the rest as unknown.
func TestVocabularySize(t *testing.T) {
	text := []byte("a a a b b c c d\n")
	for size, want := range map[int]string{0: "a b c <eos> d <unk>", 6: "a b c <eos> d <unk>", 5: "a b c <eos> d", 4: "a b c <unk>", 2: "a <unk>"} {
		v, err := NewVocabulary(WordUnit, textOf("f", text), size)
		if err != nil || strings.Join(v.Symbols, " ") != want {
			t.Errorf("size %d: %q, want %q (%v)", size, v.Symbols, want, err)
		}
	}
	v, _ := NewVocabulary(WordUnit, textOf("f", text), 3)
	ids, unknown, err := v.Encode(textOf("f", text))
	if err != nil || unknown != 4 || fmt.Sprint(ids) != "[0 0 0 1 1 2 2 2 2]" {
		t.Errorf("%v, %d unknown, %v", ids, unknown, err)
	}
	v, _ = NewVocabulary(WordUnit, textOf("f", []byte("x <unk> x y")), 3)
	if strings.Join(v.Symbols, " ") != "x <unk> y" {
		t.Errorf("%q: the word <unk> of the text is the unknown one", v.Symbols)
	}
}

func TestTextErrors(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "both/train.txt", "a")
	put(t, dir, "both/my-train.txt", "a")
	put(t, dir, "many/a.txt", "a")
	put(t, dir, "many/b.txt", "a")
	put(t, dir, "empty.txt", "")
	split := Split{0.8, 0.1, 0.1}
	for path, part := range map[string]string{
		"both": "which of", "many": "found a.txt, b.txt", "empty.txt": "is empty", "none.txt": "no such file",
	} {
		if _, err := OpenText(filepath.Join(dir, path), ByteUnit, split); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: error %v; want %q in it", path, err, part)
		}
	}
	v, _ := NewVocabulary(CharUnit, textOf("f", []byte("abc")), 3)
	if _, _, err := v.Encode(textOf("new.txt", []byte("ab\ncéz"))); err == nil || !strings.Contains(err.Error(), `new.txt: line 1, column 3: the char "\n"`) {
		t.Errorf("error %v", err)
	}
	if _, err := NewVocabulary(CharUnit, textOf("f", []byte("ab\nc\xffz")), 0); err == nil || !strings.Contains(err.Error(), "f: line 2, column 2: byte 0xff is not UTF-8; --vocab byte") {
		t.Errorf("error %v", err)
	}
	if _, err := NewVocabulary(WordUnit, textOf("f", []byte("a b\nc caf\xe9 caf\xea")), 0); err == nil || !strings.Contains(err.Error(), "f: line 2, column 6: byte 0xe9 is not UTF-8; --vocab byte") {
		t.Errorf("error %v", err)
	}
	// Of a part of a text, the place in its file is named.
	put(t, dir, "late.txt", strings.Repeat("abcdefg\n", 9)+"abc\xffefg\n")
	text, err := OpenText(filepath.Join(dir, "late.txt"), CharUnit, split)
	if err != nil {
		t.Fatal(err)
	}
	v, err = NewVocabulary(CharUnit, text.Train, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Encode(text.Test); err == nil || !strings.Contains(err.Error(), "late.txt: line 10, column 4: byte 0xff") {
		t.Errorf("error %v", err)
	}
	for _, v := range [][]float64{{1}, {0.5, 0.4}, {0, 0.5, 0.5}, {1.2, -0.2}, {0.2, 0.2, 0.2, 0.4}} {
		if s, err := ParseSplit(v); err == nil {
			t.Errorf("%v is read as %v", v, s)
		}
	}
}

func textOf(name string, text []byte) TextPart { return TextPart{Name: name, Bytes: text} }

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestOpenText(t *testing.T) {
	dir := t.TempDir()
	for part, name := range map[string]string{"training": "ptb.train.txt.gz", "validation": "ptb.valid.txt", "test": "ptb.test.txt"} {
		var b bytes.Buffer
		if w := gzip.NewWriter(&b); strings.HasSuffix(name, ".gz") {
			w.Write([]byte(part))
			w.Close()
		} else {
			b.WriteString(part)
		}
		put(t, dir, "parts/"+name, b.String())
	}
	put(t, dir, "parts/README.md", "no text")
	put(t, dir, "one/book.txt", "one\ntwo\nthrée\nfour\nfive\n")
	read := func(path, unit string, split Split) [3]string {
		x, err := OpenText(filepath.Join(dir, path), unit, split)
		if err != nil {
			t.Fatal(err)
		}
		return [3]string{string(x.Train.Bytes), string(x.Valid.Bytes), string(x.Test.Bytes)}
	}
	if got := read("parts", WordUnit, Split{}); got != [3]string{"training", "validation", "test"} {
		t.Errorf("%q", got)
	}
	for _, c := range []struct {
		unit  string
		split Split
		want  [3]string
	}{
		{ByteUnit, Split{0.48, 0.25, 0.27}, [3]string{"one\ntwo\nthr\xc3", "\xa9e\nfou", "r\nfive\n"}},
		{CharUnit, Split{0.48, 0.25, 0.27}, [3]string{"one\ntwo\nthré", "e\nfou", "r\nfive\n"}},
		{WordUnit, Split{0.48, 0.25, 0.27}, [3]string{"one\ntwo\nthrée\n", "four\n", "five\n"}},
		{ByteUnit, Split{1, 0, 0}, [3]string{"one\ntwo\nthrée\nfour\nfive\n", "", ""}},
	} {
		if got := read("one", c.unit, c.split); got != c.want {
			t.Errorf("%s, %v: %q, want %q", c.unit, c.split, got, c.want)
		}
		if got := read("one/book.txt", c.unit, c.split); got != c.want {
			t.Errorf("%s, %v: %q, want %q", c.unit, c.split, got, c.want)
		}
	}
	for path, want := range map[string]bool{"parts": true, "one": true, "one/book.txt": true, "nowhere": false, "nowhere.txt.gz": true, "parts/README.md": false} {
		if IsText(filepath.Join(dir, path)) != want {
			t.Errorf("IsText(%s) is not %v", path, want)
		}
	}
}

// FuzzVocabulary holds the reader of symbols against the obvious one, and takes any vocabulary.
func FuzzVocabulary(f *testing.F) {
	f.Add(sample, 5, `["a","b"]`)
	f.Add("\xff\n<unk> <eos> é", 0, `["é","é"]`)
	f.Fuzz(func(t *testing.T, text string, size int, list string) {
		for _, unit := range []string{ByteUnit, CharUnit, WordUnit} {
			if v, err := ParseVocabulary(unit, list); err == nil {
				v.Encode(textOf("f", []byte(text)))
			}
			if size < 0 || size == 1 {
				continue
			}
			v, err := NewVocabulary(unit, textOf("f", []byte(text)), size)
			if err != nil {
				continue
			}
			ids, unknown, err := v.Encode(textOf("f", []byte(text)))
			if err != nil {
				t.Fatal(err)
			}
			if unit == WordUnit && strings.ContainsAny(text, "\u0085\u00a0\u2028\u2029\u1680\u3000\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f") {
				continue // blanks to strings.Fields
			}
			want := naiveSymbols(unit, text)
			if unit == WordUnit && text == "" {
				want = nil
			}
			if len(ids) != len(want) {
				t.Fatalf("%s: %d symbols in %q, want %q", unit, len(ids), text, want)
			}
			for i, s := range want {
				if got := v.Symbols[ids[i]]; got != s && (got != Unknown || unknown == 0) {
					t.Fatalf("%s: symbol %d of %q is %q", unit, i, text, got)
				}
			}
		}
	})
}
