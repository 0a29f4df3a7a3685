package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// textFlags say how a language model reads text.
type textFlags struct {
	Vocab     string `group:"Text:" default:"" enum:",byte,char,word" placeholder:"UNIT" help:"Read --data as text of symbols: byte, char (a code point of UTF-8) or word (default: as recorded in the model, else char for files named .txt)."`
	VocabSize int    `group:"Text:" placeholder:"N" help:"Number only the N most frequent symbols of the training text, <unk> among them (default: as many as the network has classes)."`
	Window    int    `group:"Text:" placeholder:"T" help:"Symbols in a window, where the network leaves it open (default 35)."`
}

// defaultWindow is the paper's for words.
const defaultWindow = 35

var defaultSplit = []float64{0.8, 0.1, 0.1}

// Keys of the metadata by which a trained language model remembers how its text was read.
const (
	metaVocab   = "onnx_entropy.vocab"   // byte, char or word
	metaSymbols = "onnx_entropy.symbols" // the vocabulary, a JSON list in the order of their numbers
	metaSplit   = "onnx_entropy.split"
	metaWindow  = "onnx_entropy.window"
)

// A text is what a language model is trained on or evaluated with.
type text struct {
	*dataset.Text
	split  []float64
	unit   string
	size   int // --vocab-size
	window int
	vocab  *dataset.Vocabulary

	train, valid, test []int64
	unknown            int // symbols of the training text that the vocabulary lacks
}

// openText reads the data if they are text; else it returns nil.
func (f *textFlags) openText(d *dataFlags, m *model) (*text, error) {
	data := d.Data
	asked := f.Vocab != "" || f.VocabSize != 0 || f.Window != 0
	recorded := m.meta[metaSymbols] != ""
	if !asked && !isText(data, m) {
		return nil, nil
	}
	var err error
	t := &text{unit: f.Vocab, size: f.VocabSize, window: f.Window}
	if f.VocabSize < 0 || f.VocabSize == 1 {
		return nil, usagef("--vocab-size is %d; it must be at least 2", f.VocabSize)
	}
	if recorded && t.unit == "" && t.size == 0 {
		if t.vocab, err = dataset.ParseVocabulary(m.meta[metaVocab], m.meta[metaSymbols]); err != nil {
			return nil, fmt.Errorf("%s: its metadata: %w", m.label, err)
		}
		t.unit = t.vocab.Unit
	}
	if t.unit == "" {
		t.unit = dataset.CharUnit
	}
	if t.split, err = d.parts(m); err != nil {
		return nil, err
	}
	if t.split == nil {
		t.split = defaultSplit
	}
	split, err := dataset.ParseSplit(t.split)
	if err != nil {
		return nil, &usageError{err: err}
	}
	if err := t.findWindow(m); err != nil {
		return nil, err
	}
	t.Text, err = dataset.OpenText(data, t.unit, split)
	return t, err
}

// isText tells whether the data seem to be text: a directory only for a model that reads symbols, whatever text there is
// among the samples for another one.
func isText(data string, m *model) bool {
	info, err := os.Stat(data)
	return dataset.IsText(data) && (textInput(m) != nil || err != nil || !info.IsDir())
}

// findWindow finds out how many symbols the network reads at a time.
func (t *text) findWindow(m *model) error {
	shape := textInput(m)
	if shape == nil {
		return fmt.Errorf("%s has no input of symbols, integers of shape (batch, window), and cannot read text", m.label)
	}
	if n, err := strconv.Atoi(shape[1]); err == nil {
		if t.window != 0 && t.window != n {
			return usagef("--window is %d, and %s takes windows of %d symbols; leave it out", t.window, m.label, n)
		}
		t.window = n
	}
	if t.window == 0 && m.meta[metaWindow] != "" {
		t.window, _ = strconv.Atoi(m.meta[metaWindow])
	}
	if t.window == 0 {
		t.window = defaultWindow
	}
	if t.window < 1 || t.window > 1<<20 {
		return usagef("--window is %d; it must be from 1 to %d", t.window, 1<<20)
	}
	return nil
}

// textInput is the shape of the only input of integers with two dimensions, or nil.
func textInput(m *model) []string {
	var found []string
	for _, in := range m.Inputs {
		if strings.Contains(in.Type, "INT") && len(in.Shape) == 2 {
			if found != nil {
				return nil
			}
			found = in.Shape
		}
	}
	return found
}

// readsText tells whether the model has a score for each symbol behind each that it reads, by what its file says.
func (m *model) readsText() bool {
	out := m.outputInfo().Shape
	return textInput(m) != nil && (out == nil || len(out) == 3)
}

// options are those of a graph that reads the text in the given number of streams.
func (t *text) options(m *model, streams int) onnxload.Options {
	o := onnxload.Options{Training: true, Carry: true}
	for _, in := range m.Inputs {
		if strings.Contains(in.Type, "INT") && len(in.Shape) == 2 {
			if _, err := strconv.Atoi(in.Shape[1]); err != nil {
				o.Shapes = map[string][]int{in.Name: {streams, t.window}}
			}
		}
	}
	return o
}

// encode fits the text to the network: its output says how many symbols it knows.
func (t *text) encode(m *model, net *onnxload.Net) error {
	if len(net.Inputs) != 1 || net.Inputs[0].Dtype() != tensor.Int64 {
		return fmt.Errorf("%s has %d inputs besides recurrent states, and text feeds one, of integers; states are inputs of floats that have an output of the same shape",
			m.label, len(net.Inputs))
	}
	in, out := net.Inputs[0].Shape(), net.Outputs[net.Output()].Shape()
	classes := 0
	switch {
	case len(out) == 3 && slices.Equal(in, out[:2]):
		classes = out[2]
	case len(out) == 3 && out[0] == in[0] && out[2] == in[1]:
		classes = out[1]
	default:
		return fmt.Errorf("%s: its output has shape %s for input of %s; text wants symbols of shape (batch, window) and a score for each next symbol, (batch, window, symbols)%s",
			m.label, report.Shape(out), report.Shape(in), m.others())
	}
	var err error
	if t.vocab == nil {
		size := classes
		if t.size != 0 {
			size = min(size, t.size)
		}
		if t.Train.Bytes == nil {
			return fmt.Errorf("there is no training text to make a vocabulary of, and %s records none", m.label)
		}
		if t.vocab, err = dataset.NewVocabulary(t.unit, t.Train, size); err != nil {
			return err
		}
	}
	if n := len(t.vocab.Symbols); n > classes {
		return fmt.Errorf("%s has %d classes, and the vocabulary that it records %d symbols", m.label, classes, n)
	}
	for _, p := range []struct {
		part *dataset.TextPart
		ids  *[]int64
	}{{&t.Train, &t.train}, {&t.Valid, &t.valid}, {&t.Test, &t.test}} {
		unknown := 0
		if *p.ids, unknown, err = t.vocab.Encode(*p.part); err != nil {
			return err
		}
		if p.part == &t.Train {
			t.unknown = unknown
		}
		*p.part = dataset.TextPart{Name: p.part.Name} // the text is not needed any more
	}
	return nil
}

// record puts how the text is read into metadata.
func (t *text) record(meta map[string]string) error {
	list, err := t.vocab.MarshalText()
	meta[metaVocab], meta[metaSymbols], meta[metaSplit] = t.unit, string(list), numbers(t.split)
	meta[metaWindow] = fmt.Sprint(t.window)
	return err
}

// digest is the SHA-256 of the symbols of a part and their numbers.
func (t *text) digest(ids []int64) string {
	h := sha256.New()
	list, _ := t.vocab.MarshalText() // of strings: it cannot fail
	fmt.Fprintf(h, "%s %d %s\n", t.unit, t.window, list)
	binary.Write(h, binary.LittleEndian, ids) // to memory: it cannot fail
	return hex.EncodeToString(h.Sum(nil))
}

// describe says how much text there is.
func (t *text) describe() string {
	var parts []string
	for _, p := range []struct {
		what string
		ids  []int64
	}{{"training", t.train}, {"validation", t.valid}, {"test", t.test}} {
		if len(p.ids) > 0 {
			parts = append(parts, fmt.Sprintf("%s for %s", report.Count(len(p.ids)), p.what))
		}
	}
	s := fmt.Sprintf("%ss: %s (%s), vocabulary of %s", t.unit, strings.Join(parts, ", "), t.Train.Name, report.Count(len(t.vocab.Symbols)))
	if t.unknown > 0 {
		s += fmt.Sprintf(", %.2f %% of training are %s", 100*float64(t.unknown)/float64(len(t.train)), dataset.Unknown)
	}
	return s
}

// evaluation adds to a loss per symbol the units that people quote. t may be nil.
func (t *text) evaluation(m runner.Metrics) *evaluation {
	e := evaluationOf(m)
	if t == nil {
		return e
	}
	perplexity, bits := number(perplexityOf(m.Loss)), number(m.Loss/math.Ln2)
	e.Perplexity = &perplexity
	if t.unit != dataset.WordUnit {
		e.Bits = &bits
	}
	return e
}

// perplexityOf is the perplexity of a loss in nats.
func perplexityOf(loss float64) float64 { return math.Exp(loss) }

// whole is a part of the text for evaluation.
func (t *text) whole(ids []int64, what string, streams int) (*runner.Tokens, error) {
	s, err := runner.NewWholeText(ids, streams, t.window)
	if err != nil {
		return nil, fmt.Errorf("the %s text: %w", what, err)
	}
	return s, nil
}
