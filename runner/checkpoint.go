package runner

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
)

// Checkpoints says where and how often a run is saved. A run that goes on from a checkpoint ends with the same
// bits as one that was never stopped, wherever it was stopped.
//
// The folder holds the newest checkpoints, named by the gradients that were computed, and best.ckpt, the one whose test error (or
// loss, if there is no error) was least. A file is written under another name, synced and renamed; what is left of that after a kill is removed when the
// run goes on.
type Checkpoints struct {
	// Dir is a folder for this run alone. It is made if it is not there.
	Dir string
	// Gradients and Every say when to save, whichever comes first; 0 means never. Besides, a run is saved
	// before its first step and when its context ends.
	Gradients uint64
	Every     time.Duration
	// Keep is how many of the newest files stay; 0 means 2.
	Keep int
	// Resume goes on from the newest whole checkpoint. If there is none, Train fails, with ErrNoCheckpoint where the folder holds
	// not even a damaged one: the run is then to be begun.
	Resume bool
	// Identity describes what the run is made of besides what Train sees, digests of the model and the data
	// for example. A checkpoint of a run with another identity is refused with a *MismatchError.
	Identity map[string]string
	// Extra, when not nil, gives what the caller wants to find again; Restore gets it before the run goes on.
	Extra   func() ([]byte, error)
	Restore func([]byte) error
	// Best, when not nil, gets the report whenever a measurement was the best so far, in addition to best.ckpt.
	Best func(*Report) error
	// Warn, when not nil, is told of what did not stop the run: a checkpoint that could not be written, of
	// which the one before remains, and one that is damaged and was passed over. The first checkpoint
	// of a run must succeed.
	Warn func(error)
}

// ErrNoCheckpoint is in the error of a run that is to go on where there is nothing to go on from.
var ErrNoCheckpoint = errors.New("there is no checkpoint")

const (
	checkpointSuffix = ".ckpt"
	bestCheckpoint   = "best" + checkpointSuffix
)

func (c *Checkpoints) path(number uint64) string {
	return filepath.Join(c.Dir, fmt.Sprintf("%012d%s", number, checkpointSuffix))
}

// number orders the checkpoints of a run: the gradients that were computed, with those that were rolled back.
func (r *run) number() uint64 { return r.state.Evals + r.skipped }

// list returns the numbers of the checkpoints in the folder, ascending.
func (c *Checkpoints) list() ([]uint64, error) {
	entries, err := os.ReadDir(c.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []uint64
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), checkpointSuffix)
		if n, err := strconv.ParseUint(digits, 10, 64); ok && err == nil {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all, nil
}

func (c *Checkpoints) warn(err error) {
	if c.Warn != nil {
		c.Warn(err)
	}
}

// begin makes the first checkpoint of a run, or restores the newest.
func (r *run) begin(rep *Report) error {
	c := r.cfg.Checkpoints
	if c == nil {
		return nil
	}
	var err error
	if r.identity, err = r.identify(r.m.Params(r.state)); err != nil {
		return err
	}
	r.saved = time.Now()
	if c.Resume {
		return r.resume(rep)
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return fmt.Errorf("runner: no folder for checkpoints: %w", err)
	}
	if old, err := c.list(); err != nil || len(old) > 0 {
		return errors.Join(err, fmt.Errorf("runner: %s holds checkpoints of another run; resume it, or give an empty folder", c.Dir))
	}
	return r.save(rep, c.path(r.number()))
}

// resume restores the newest checkpoint that is whole.
func (r *run) resume(rep *Report) error {
	c := r.cfg.Checkpoints
	all, err := c.list()
	if err != nil {
		return fmt.Errorf("runner: %w", err)
	}
	if len(all) > 0 {
		if err := report.RemoveUnfinished(c.Dir); err != nil {
			c.warn(fmt.Errorf("runner: what was being written when the run was killed remains: %w", err))
		}
	}
	for _, number := range slices.Backward(all) {
		path := c.path(number)
		s, err := openSnapshot(path)
		if err != nil {
			c.warn(fmt.Errorf("runner: %s: %w; going on from the checkpoint before", path, err))
			continue
		}
		if err := r.restore(s, rep); err != nil {
			return fmt.Errorf("runner: %s: %w", path, err)
		}
		r.savedNumber = number
		return nil
	}
	if len(all) > 0 {
		return fmt.Errorf("runner: none of the %d checkpoints in %s is whole", len(all), c.Dir)
	}
	return fmt.Errorf("runner: %w in %s: the run was stopped before its first step; begin it anew", ErrNoCheckpoint, c.Dir)
}

func openSnapshot(path string) (*snapshot, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return readSnapshot(f, info.Size())
}

// saveIfDue makes a checkpoint if it is time.
func (r *run) saveIfDue(rep *Report) {
	c := r.cfg.Checkpoints
	if c == nil {
		return
	}
	if c.Gradients > 0 && r.number()-r.savedNumber >= c.Gradients || c.Every > 0 && time.Since(r.saved) >= c.Every {
		r.saveNow(rep)
	}
}

// saveNow makes a checkpoint and takes away the oldest. That it fails does not stop the run.
func (r *run) saveNow(rep *Report) {
	c := r.cfg.Checkpoints
	if c == nil {
		return
	}
	r.saved, r.savedNumber = time.Now(), r.number()
	if err := r.save(rep, c.path(r.number())); err != nil {
		c.warn(fmt.Errorf("runner: no checkpoint at gradient %d, the one before remains: %w", r.state.Evals, err))
		return
	}
	all, err := c.list()
	if err != nil {
		c.warn(fmt.Errorf("runner: %w", err))
		return
	}
	keep := c.Keep
	if keep <= 0 {
		keep = 2
	}
	for _, number := range all[:max(0, len(all)-keep)] {
		if err := os.Remove(c.path(number)); err != nil {
			c.warn(fmt.Errorf("runner: %w", err))
		}
	}
}

// saveBest makes best.ckpt if the last evaluation was the best so far.
func (r *run) saveBest(rep *Report) {
	if r.cfg.Checkpoints == nil || rep.Test == nil {
		return
	}
	value := rep.Test.Error
	if math.IsNaN(value) {
		value = rep.Test.Loss
	}
	if !(value < r.best) {
		return
	}
	r.best = value
	c := r.cfg.Checkpoints
	err := r.save(rep, filepath.Join(c.Dir, bestCheckpoint))
	if c.Best != nil {
		err = errors.Join(err, c.Best(rep))
	}
	if err != nil {
		c.warn(fmt.Errorf("runner: the best weights so far were not saved: %w", err))
	}
}

func (r *run) save(rep *Report, path string) error {
	s, err := r.snapshot(rep)
	if err != nil {
		return err
	}
	return report.WriteTo(path, func(w io.Writer) error { return s.write(w) })
}
