package report

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

// A log file gets a line when another epoch is over, but not more often than each second, and after five
// seconds at the latest; the last step is always there.
func TestLinesWithoutTerminal(t *testing.T) {
	var out, errs bytes.Buffer
	now := time.Unix(1000, 0)
	p := NewProgress(&out, &errs, 100, 10).(*lines)
	p.start, p.now = now, func() time.Time { return now }
	for evals := uint64(1); evals <= 100; evals++ {
		switch {
		case evals <= 30:
			now = now.Add(10 * time.Millisecond) // three epochs in 0.3 s: silence, until a second is over
		case evals <= 60:
			now = now.Add(200 * time.Millisecond) // 2 s an epoch: a line each
		default:
			now = now.Add(3 * time.Second) // a line every second step
		}
		p.Update(evals, float64(evals)/10, 0.5)
	}
	p.Line("test: %d", 7)
	p.Done()
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(got) != 4+20+1 {
		t.Errorf("%d lines:\n%s", len(got), out.String())
	}
	if want := "epoch  3.40  loss 0.5000  34/100 gradients  30.9/s  2.1 s left"; got[0] != want {
		t.Errorf("the first line is %q, want %q", got[0], want)
	}
	if want := "epoch 10.00  loss 0.5000  100/100 gradients  0.79/s  done"; got[len(got)-2] != want {
		t.Errorf("the last line is %q, want %q", got[len(got)-2], want)
	}
	if strings.ContainsAny(out.String(), "\r\x1b") || errs.Len() > 0 {
		t.Errorf("control characters, or something on stderr: %q, %q", out.String(), errs.String())
	}
}

func TestBar(t *testing.T) {
	var out, errs bytes.Buffer
	b := newBar(&out, &errs, 100, 0, func() int { return 120 })
	for evals := uint64(20); evals <= 100; evals += 20 {
		b.Update(evals, float64(evals)/50, 0.25)
	}
	b.Line("test: %d", 7)
	b.Done()
	if got := out.String(); got != "test: 7\n" {
		t.Errorf("stdout has %q", got)
	}
	for _, want := range []string{"epoch 0.4  loss 0.2500", "gradients/s", "left", "20/100", "99/100", "done"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("stderr lacks %q: %q", want, errs.String())
		}
	}
}

func TestBarFitsTheTerminal(t *testing.T) {
	for width, want := range map[int]string{
		120: "epoch 0.4  loss 0.2500  12.5 gradients/s  1 min 5 s left",
		60:  "loss 0.2500  1 min 5 s left",
		70:  "epoch 0.4  loss 0.2500  12.5/s  1 min 5 s left",
		40:  "1 min 5 s left",
		20:  "",
	} {
		b := newBar(io.Discard, io.Discard, 10000, 0, func() int { return width })
		if got := b.describe(0.4, 0.25, "12.5", "1 min 5 s left"); got != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
}

// A resumed run shows the rate of what it does now, not of what was done before.
func TestResumedProgress(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(1000, 0)
	p := NewProgress(&out, io.Discard, 100, 10).(*lines)
	p.start, p.now = now, func() time.Time { return now }
	p.Begin(55)
	now = now.Add(10 * time.Second)
	p.Update(60, 6, 0.5)
	if want, got := "epoch  6.00  loss 0.5000  60/100 gradients  0.50/s  1 min 20 s left\n", out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
