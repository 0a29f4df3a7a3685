package report

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A Progress shows how far a run is.
type Progress interface {
	// Begin tells how many gradients were done before, by a run that is resumed now.
	Begin(evals uint64)
	// Update tells how many of the run's gradients are done, in which epoch, and the last loss.
	Update(evals uint64, epoch, loss float64)
	// Line shows a line that stays.
	Line(format string, args ...any)
	// Done ends the display.
	Done()
}

// NewProgress shows a bar on stderr if that is a terminal, and otherwise plain lines on stdout. Lines that stay
// always go to stdout. total is the number of gradients of the run, perEpoch that of an epoch.
func NewProgress(stdout, stderr io.Writer, total, perEpoch uint64) Progress {
	if f, ok := stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		width := func() int {
			w, _, err := term.GetSize(int(f.Fd()))
			if err != nil || w <= 0 {
				return 80
			}
			return w
		}
		return newBar(stdout, f, total, 100*time.Millisecond, width)
	}
	return &lines{w: stdout, total: total, perEpoch: max(perEpoch, 1), now: time.Now, start: time.Now()}
}

// bar is a progress bar with the remaining time, loss and rate.
type bar struct {
	stdout io.Writer
	bar    *progressbar.ProgressBar
	start  time.Time
	before uint64 // gradients done before the start
	drawn  time.Time
	every  time.Duration // at least, between two drawings
	total  uint64
	width  func() int // columns of the terminal
}

func newBar(stdout, stderr io.Writer, total uint64, every time.Duration, width func() int) *bar {
	p := progressbar.NewOptions64(int64(total),
		progressbar.OptionSetWriter(stderr),
		progressbar.OptionSetDescription("training"),
		progressbar.OptionSetWidth(30),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(false), // that of the last steps jumps; ours is of the whole run
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionThrottle(every),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetRenderBlankState(true),
		progressbar.OptionClearOnFinish(),
	)
	return &bar{stdout: stdout, bar: p, start: time.Now(), every: every, total: total, width: width}
}

func (b *bar) Begin(evals uint64) { b.before = evals }

func (b *bar) Update(evals uint64, epoch, loss float64) {
	// The last step is left to Done, so that the bar stays while the test samples are evaluated.
	b.bar.Set64(int64(min(evals, b.total-1)))
	now := time.Now()
	if now.Sub(b.drawn) >= b.every {
		b.drawn = now
		elapsed := now.Sub(b.start)
		b.bar.Describe(b.describe(epoch, loss, rate(evals-b.before, elapsed), left(elapsed, evals-b.before, b.total-b.before)))
	}
}

// describe is the longest text that leaves room for percentage and count in the terminal's width: a line that
// wraps could not be overwritten.
func (b *bar) describe(epoch, loss float64, rate, left string) string {
	room := b.width() - len(fmt.Sprintf(" 100%% || (%d/%d) ", b.total, b.total))
	for _, s := range []string{
		fmt.Sprintf("epoch %.1f  loss %.4f  %s gradients/s  %s", epoch, loss, rate, left),
		fmt.Sprintf("epoch %.1f  loss %.4f  %s/s  %s", epoch, loss, rate, left),
		fmt.Sprintf("loss %.4f  %s", loss, left),
		left,
	} {
		if len(s) <= room {
			return s
		}
	}
	return ""
}

func (b *bar) Line(format string, args ...any) {
	b.bar.Clear()
	fmt.Fprintf(b.stdout, format+"\n", args...)
	b.bar.RenderBlank()
}

func (b *bar) Done() { b.bar.Clear() }

// lines shows a line an epoch, and every five seconds if epochs take longer.
type lines struct {
	w               io.Writer
	total, perEpoch uint64
	now             func() time.Time
	start, last     time.Time
	before          uint64 // gradients done before the start
	shown           uint64 // epochs
}

const lineEvery = 5 * time.Second

func (l *lines) Begin(evals uint64) { l.before, l.shown = evals, evals/l.perEpoch }

func (l *lines) Update(evals uint64, epoch, loss float64) {
	now := l.now()
	if l.last.IsZero() {
		l.last = l.start
	}
	whole := evals / l.perEpoch
	// Epochs of a small data set may take milliseconds; then a line a second is enough.
	due := whole > l.shown && now.Sub(l.last) >= time.Second || now.Sub(l.last) >= lineEvery
	if !due && evals < l.total {
		return
	}
	l.shown, l.last = whole, now
	elapsed := now.Sub(l.start)
	fmt.Fprintf(l.w, "epoch %5.2f  loss %.4f  %s/%s gradients  %s/s  %s\n", epoch, loss, Count(evals), Count(l.total), rate(evals-l.before, elapsed), left(elapsed, evals-l.before, l.total-l.before))
}

func (l *lines) Line(format string, args ...any) { fmt.Fprintf(l.w, format+"\n", args...) }

func (l *lines) Done() {}

// rate is the number of gradients in a second, with three digits.
func rate(evals uint64, d time.Duration) string {
	r := float64(evals) / max(d.Seconds(), 1e-9)
	switch {
	case r >= 100:
		return fmt.Sprintf("%.0f", r)
	case r >= 10:
		return fmt.Sprintf("%.1f", r)
	}
	return fmt.Sprintf("%.2f", r)
}

// left is the time that the rest of a run takes at the rate so far.
func left(elapsed time.Duration, evals, total uint64) string {
	if evals >= total {
		return "done"
	}
	return Duration(time.Duration(float64(elapsed)/float64(max(evals, 1))*float64(total-evals))) + " left"
}
