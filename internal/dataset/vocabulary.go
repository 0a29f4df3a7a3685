package dataset

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Units of text, which become symbols.
const (
	ByteUnit = "byte"
	CharUnit = "char" // a Unicode code point; the text is UTF-8
	WordUnit = "word" // what white space separates, and EndOfLine for each line end
)

// Words with a meaning.
const (
	EndOfLine = "<eos>"
	Unknown   = "<unk>" // stands for all symbols that the vocabulary lacks
)

// A Vocabulary numbers the symbols of a text from 0.
type Vocabulary struct {
	Unit    string
	Symbols []string // by number; a byte is a string of one byte

	numbers map[string]int64
	unknown int64 // -1: there is none
}

// NewVocabulary numbers the symbols of a training text, the most frequent first, those of one frequency in the
// order of their bytes. At most size symbols get a number (0: all). If size has room for it, or if symbols are left
// out, Unknown is the last, unless it is a word of the text.
func NewVocabulary(unit string, text TextPart, size int) (*Vocabulary, error) {
	counts := map[string]int{}
	if err := symbols(unit, text, func(s []byte, _ int) error {
		counts[string(s)]++ // allocates for a new symbol only
		return nil
	}); err != nil {
		return nil, err
	}
	if len(counts) == 0 {
		return nil, fmt.Errorf("dataset: %s: holds no symbols", text.Name)
	}
	all := make([]string, 0, len(counts)+1)
	for s := range counts {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	_, has := counts[Unknown]
	switch {
	case size == 0 || len(all) < size:
		if !has {
			all = append(all, Unknown)
		}
	case len(all) > size:
		keep := all[:size]
		if !slices.Contains(keep, Unknown) {
			keep[size-1] = Unknown
		}
		all = keep
	}
	return newVocabulary(unit, all)
}

func newVocabulary(unit string, symbols []string) (*Vocabulary, error) {
	v := &Vocabulary{Unit: unit, Symbols: symbols, numbers: map[string]int64{}, unknown: -1}
	for i, s := range symbols {
		if _, twice := v.numbers[s]; twice || s == "" {
			return nil, fmt.Errorf("dataset: a vocabulary with the symbol %q twice, or an empty one", s)
		}
		v.numbers[s] = int64(i)
	}
	if n, ok := v.numbers[Unknown]; ok {
		v.unknown = n
	}
	return v, nil
}

// Encode gives the numbers of the symbols of a text, and how many the vocabulary lacks, which have the number of
// Unknown. If there is none, the first such symbol is an error.
func (v *Vocabulary) Encode(text TextPart) (ids []int64, unknown int, err error) {
	err = symbols(v.Unit, text, func(s []byte, at int) error {
		n, ok := v.numbers[string(s)]
		if !ok {
			if unknown++; v.unknown < 0 {
				return fmt.Errorf("dataset: %s: the %s %q is none of the %d in the vocabulary, which has no %s; "+
					"train with a smaller --vocab-size, or export the network for one symbol more", text.place(at), v.Unit, s, len(v.Symbols), Unknown)
			}
			n = v.unknown
		}
		ids = append(ids, n)
		return nil
	})
	return ids, unknown, err
}

// MarshalText is the vocabulary as a JSON list; bytes are the characters of their numbers.
func (v *Vocabulary) MarshalText() ([]byte, error) {
	list := v.Symbols
	if v.Unit == ByteUnit {
		list = slices.Clone(list)
		for i, s := range list {
			if len(s) == 1 {
				list[i] = string(rune(s[0]))
			}
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(list)
	return bytes.TrimSpace(b.Bytes()), err
}

// ParseVocabulary reads what MarshalText wrote.
func ParseVocabulary(unit, list string) (*Vocabulary, error) {
	var all []string
	if err := json.Unmarshal([]byte(list), &all); err != nil {
		return nil, fmt.Errorf("dataset: a vocabulary that is no list of symbols: %w", err)
	}
	switch unit {
	case CharUnit, WordUnit:
	case ByteUnit:
		for i, s := range all {
			if r, n := utf8.DecodeRuneInString(s); n == len(s) && r < 256 {
				all[i] = string([]byte{byte(r)})
			} else if s != Unknown {
				return nil, fmt.Errorf("dataset: a vocabulary of bytes with the symbol %q", s)
			}
		}
	default:
		return nil, fmt.Errorf("dataset: a vocabulary of %q; known are byte, char, word", unit)
	}
	return newVocabulary(unit, all)
}

// symbols calls f with each symbol and its place in the text.
func symbols(unit string, part TextPart, f func(s []byte, at int) error) error {
	text := part.Bytes
	invalid := func(at int) error {
		return fmt.Errorf("dataset: %s: byte %#x is not UTF-8; --vocab byte reads any file", part.place(at), text[at])
	}
	switch unit {
	case ByteUnit:
		for i := range text {
			if err := f(text[i:i+1], i); err != nil {
				return err
			}
		}
	case CharUnit:
		for i := 0; i < len(text); {
			r, n := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && n == 1 {
				return invalid(i)
			}
			if err := f(text[i:i+n], i); err != nil {
				return err
			}
			i += n
		}
	case WordUnit:
		for i := 0; i < len(text); {
			end := len(text)
			if k := bytes.IndexByte(text[i:], '\n'); k >= 0 {
				end = i + k
			}
			for line := text[i:end]; ; {
				line = bytes.TrimLeft(line, blanks)
				if len(line) == 0 {
					break
				}
				word := line
				if k := bytes.IndexAny(line, blanks); k >= 0 {
					word = line[:k]
				}
				if k := notUTF8(word); k >= 0 { // the recorded list of words could not hold it
					return invalid(end - len(line) + k)
				}
				if err := f(word, end-len(line)); err != nil {
					return err
				}
				line = line[len(word):]
			}
			if end < len(text) {
				if err := f([]byte(EndOfLine), end); err != nil {
					return err
				}
			}
			i = end + 1
		}
	default:
		return fmt.Errorf("dataset: text in units of %q; known are byte, char, word", unit)
	}
	return nil
}

// notUTF8 is the place of the first byte of b that is not UTF-8, or -1.
func notUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; ; {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
}

const blanks = " \t\r\v\f"

// Join puts symbols into text as people read it.
func (v *Vocabulary) Join(ids []int64) string {
	var b strings.Builder
	for i, n := range ids {
		s := v.Symbols[n]
		if v.Unit == WordUnit {
			if s == EndOfLine {
				s = "\n"
			} else if i > 0 && v.Symbols[ids[i-1]] != EndOfLine {
				s = " " + s
			}
		}
		b.WriteString(s)
	}
	return b.String()
}
