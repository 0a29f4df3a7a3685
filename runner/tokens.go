package runner

import (
	"fmt"

	"gorgonia.org/tensor"
)

// Tokens is a Sequence over numbered symbols: inputs are windows of them, int64 of shape (streams, window), and the
// targets the symbols that follow each, of the same shape.
type Tokens struct {
	ids    []int64
	window int
	starts []int // of each stream,
	ends   []int // and behind its last input
	length int   // windows of a stream
}

// NewTokens cuts ids into streams for training: of one length, and with windows that are all full. The streams start at even
// distances and together hold every symbol; the end of each is also in the next by less than a window.
func NewTokens(ids []int64, streams, window int) (*Tokens, error) {
	t, err := newTokens(ids, streams, window)
	if err != nil {
		return nil, err
	}
	n := len(ids) - 1 // symbols that have a next one
	t.length = (n + streams*window - 1) / (streams * window)
	if streams == 1 {
		t.length = n / window // the rest, less than a window, is left out
	}
	if t.length == 0 || t.length*window > n {
		return nil, fmt.Errorf("runner: %d symbols do not fill a window of %d and the symbol behind it", len(ids), window)
	}
	for s := range streams {
		start := 0
		if streams > 1 {
			start = int(int64(s) * int64(n-t.length*window) / int64(streams-1))
		}
		t.starts = append(t.starts, start)
		t.ends = append(t.ends, start+t.length*window)
	}
	return t, nil
}

// NewWholeText cuts ids into streams for evaluation: each next symbol is predicted once. With one stream every
// symbol is predicted from all that are in front of it; of more, each begins without knowing what is.
func NewWholeText(ids []int64, streams, window int) (*Tokens, error) {
	t, err := newTokens(ids, streams, window)
	if err != nil {
		return nil, err
	}
	n := len(ids) - 1
	each := (n + streams - 1) / streams
	t.length = (each + window - 1) / window
	for s := range streams {
		t.starts = append(t.starts, min(n, s*each))
		t.ends = append(t.ends, min(n, (s+1)*each))
	}
	return t, nil
}

func newTokens(ids []int64, streams, window int) (*Tokens, error) {
	if streams < 1 || window < 1 {
		return nil, fmt.Errorf("runner: %d streams in windows of %d symbols; both must be at least 1", streams, window)
	}
	if len(ids) < 2 {
		return nil, fmt.Errorf("runner: a text of %d symbols has nothing to predict", len(ids))
	}
	return &Tokens{ids: ids, window: window}, nil
}

// Len is the number of windows in all streams.
func (t *Tokens) Len() int { return t.length * len(t.starts) }

// Streams is the number of streams.
func (t *Tokens) Streams() int { return len(t.starts) }

// Positions is the number of symbols in window i that belong to its stream.
func (t *Tokens) Positions(i int) int {
	w, s := i/len(t.starts), i%len(t.starts)
	return max(0, min(t.window, t.ends[s]-t.starts[s]-w*t.window))
}

// Read copies windows into dst. What is behind the end of a stream is filled with symbol 0.
func (t *Tokens) Read(dst *Batch, idx []int) error {
	for _, ts := range []*[]*tensor.Dense{&dst.Inputs, &dst.Targets} {
		if len(*ts) != 1 {
			*ts = make([]*tensor.Dense, 1)
		}
		(*ts)[0] = Reuse((*ts)[0], tensor.Int64, len(idx), []int{t.window})
	}
	x, y := dst.Inputs[0].Int64s(), dst.Targets[0].Int64s()
	for k, i := range idx {
		if i < 0 || i >= t.Len() {
			return fmt.Errorf("runner: window %d of %d was asked for", i, t.Len())
		}
		from := t.starts[i%len(t.starts)] + i/len(t.starts)*t.window
		n := t.Positions(i)
		if n == 0 {
			from = 0
		}
		row, next := x[k*t.window:(k+1)*t.window], y[k*t.window:(k+1)*t.window]
		copy(row, t.ids[from:from+n])
		copy(next, t.ids[from+1:from+1+n])
		clear(row[n:])
		clear(next[n:])
	}
	return nil
}
