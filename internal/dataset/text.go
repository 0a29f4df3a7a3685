package dataset

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// A Text is what a path holds for a language model.
type Text struct{ Train, Valid, Test TextPart }

// A TextPart is text, nil if it is missing, and what to call it.
type TextPart struct {
	Name  string
	Bytes []byte

	whole *TextPart // the text of which this is a part, nil if it is all
	from  int       // its place there
}

// place says in which file byte at of the text is, and where.
func (p *TextPart) place(at int) string {
	if p.whole != nil {
		return p.whole.place(p.from + at)
	}
	line := bytes.Count(p.Bytes[:at], []byte("\n")) + 1
	column := utf8.RuneCount(p.Bytes[bytes.LastIndexByte(p.Bytes[:at], '\n')+1:at]) + 1
	return fmt.Sprintf("%s: line %d, column %d", p.Name, line, column)
}

// A Split says which parts of data that come in one piece are for training, validation and test, in this order.
type Split struct{ Train, Valid, Test float64 }

// ParseSplit reads two or three numbers that add up to 1; of two the second is the test part.
func ParseSplit(v []float64) (s Split, err error) {
	switch len(v) {
	case 2:
		s = Split{v[0], 0, v[1]}
	case 3:
		s = Split{v[0], v[1], v[2]}
	default:
		return s, fmt.Errorf("dataset: a split into %d parts; give those for training, validation and test, such as 0.8,0.1,0.1", len(v))
	}
	if !(s.Train > 0 && s.Valid >= 0 && s.Test >= 0) || math.Abs(s.Train+s.Valid+s.Test-1) > 1e-9 {
		return s, fmt.Errorf("dataset: a split of %v; the parts must not be negative, training's above 0, and add up to 1", v)
	}
	return s, nil
}

// maxText bounds what a text file may hold; a gzip file can unpack to anything.
const maxText = 1 << 31

var (
	textFile  = regexp.MustCompile(`(?i)\.txt(\.gz)?$`)
	textTrain = regexp.MustCompile(`(?i)(^|[-_.])train([-_.]|ing)`)
	textValid = regexp.MustCompile(`(?i)(^|[-_.])(valid|val|validation|dev)[-_.]`)
	textTest  = regexp.MustCompile(`(?i)(^|[-_.])(test|eval)[-_.]`)
)

// IsText tells whether a path seems to hold text: a file named .txt, or a directory with one for training or with
// such files alone.
func IsText(path string) bool {
	names, err := textNames(path)
	if err != nil || len(names) == 0 {
		return textFile.MatchString(path)
	}
	all := true
	for _, n := range names {
		if textFile.MatchString(n) && textTrain.MatchString(n) {
			return true
		}
		all = all && textFile.MatchString(n)
	}
	return all
}

// textNames lists the files of a directory but those about it.
func textNames(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if n := e.Name(); !e.IsDir() && !strings.HasPrefix(n, ".") && !strings.HasPrefix(strings.ToUpper(n), "README") && !strings.HasPrefix(strings.ToUpper(n), "LICENSE") {
			names = append(names, n)
		}
	}
	return names, err
}

// OpenText reads text files, gzip or not: of a directory those with train, valid (or val, dev) and test in their
// names. A single file, named or alone in its directory, is cut as split says: a text of words between lines,
// one of chars between chars.
func OpenText(path, unit string, split Split) (*Text, error) {
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("dataset: %s: there is no such file or directory", path)
	} else if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	if !info.IsDir() {
		return splitText(path, unit, split)
	}
	names, err := textNames(path)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	t := new(Text)
	var texts []string
	for _, n := range names {
		if !textFile.MatchString(n) {
			continue
		}
		texts = append(texts, n)
		for _, p := range []struct {
			fits *regexp.Regexp
			part *TextPart
		}{{textTrain, &t.Train}, {textValid, &t.Valid}, {textTest, &t.Test}} {
			if !p.fits.MatchString(n) {
				continue
			}
			if p.part.Bytes != nil {
				return nil, fmt.Errorf("dataset: %s: which of %s and %s is meant? Name the file instead of its directory", path, p.part.Name, n)
			}
			if *p.part, err = readText(filepath.Join(path, n)); err != nil {
				return nil, err
			}
			break
		}
	}
	switch {
	case t.Train.Bytes != nil || t.Valid.Bytes != nil || t.Test.Bytes != nil:
		return t, nil
	case len(texts) == 1:
		return splitText(filepath.Join(path, texts[0]), unit, split)
	}
	return nil, fmt.Errorf("dataset: %s: looked for text files with train, valid and test in their names, or a single one, ending in .txt or .txt.gz; found %s",
		path, report(texts))
}

func report(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names[:min(5, len(names))], ", ")
}

func splitText(path, unit string, split Split) (*Text, error) {
	all, err := readText(path)
	if err != nil {
		return nil, err
	}
	b, n := all.Bytes, float64(len(all.Bytes))
	first := boundary(b, unit, int(n*split.Train))
	second := len(b)
	if split.Test > 0 {
		second = max(first, boundary(b, unit, int(n*(split.Train+split.Valid))))
	}
	t := new(Text)
	for _, p := range []struct {
		part     *TextPart
		what     string
		from, to int
	}{{&t.Train, "training", 0, first}, {&t.Valid, "validation", first, second}, {&t.Test, "test", second, len(b)}} {
		if p.to > p.from {
			*p.part = TextPart{fmt.Sprintf("%s part of %s", p.what, all.Name), b[p.from:p.to], &all, p.from}
		}
	}
	return t, nil
}

// boundary moves a place in a text on to where it may be cut.
func boundary(b []byte, unit string, at int) int {
	switch {
	case unit == CharUnit:
		for at < len(b) && !utf8.RuneStart(b[at]) {
			at++
		}
	case unit == WordUnit && at > 0 && at < len(b) && b[at-1] != '\n':
		k := bytes.IndexByte(b[at:], '\n')
		if k < 0 {
			return len(b)
		}
		at += k + 1
	}
	return at
}

func readText(path string) (TextPart, error) {
	s, err := open(path)
	if err != nil {
		return TextPart{}, err
	}
	defer s.close()
	b, err := io.ReadAll(io.LimitReader(s.r, maxText+1))
	switch {
	case err != nil:
		return TextPart{}, s.errorf("%w", err)
	case len(b) > maxText:
		return TextPart{}, s.errorf("holds more than %d bytes of text", maxText)
	case len(b) == 0:
		return TextPart{}, s.errorf("is empty")
	}
	return TextPart{Name: s.name, Bytes: b}, nil
}
