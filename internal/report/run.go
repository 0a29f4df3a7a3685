package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gofrs/flock"
)

// A Run is the folder of one training run: config, metrics.jsonl and whatever else is put there. It is locked, so
// that no other program works in it, until it is closed or the program ends, however it does.
type Run struct {
	Dir     string
	metrics *os.File
	lock    *flock.Flock
	root    string // if NewRun made it, else empty
}

// NewRun makes the next free folder root/1, root/2, ... and an empty metrics.jsonl in it. Two programs that do
// this at once get two folders.
func NewRun(root string) (*Run, error) {
	made := ""
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		made = root
	}
	if err := makeRoot(root); err != nil {
		return nil, fmt.Errorf("the folder of runs cannot be made: %w", err)
	}
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the folder of runs cannot be read: %w", err)
	}
	last := 0
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			last = max(last, n)
		}
	}
	for n := last + 1; ; n++ {
		dir := filepath.Join(root, strconv.Itoa(n))
		switch err := os.Mkdir(dir, 0o755); {
		case errors.Is(err, fs.ErrExist):
			continue
		case errors.Is(err, fs.ErrNotExist): // another run that came to nothing has taken root back
			if err := makeRoot(root); err != nil {
				return nil, fmt.Errorf("the folder of runs cannot be made: %w", err)
			}
			n--
			continue
		case err != nil:
			return nil, fmt.Errorf("the folder of the run cannot be made: %w", err)
		}
		r := &Run{Dir: dir, root: made}
		if err := r.open(os.O_CREATE | os.O_EXCL); err != nil {
			os.RemoveAll(dir)
			return nil, err
		}
		return r, nil
	}
}

// makeRoot makes the folder of runs if it is not there. MkdirAll reports that it exists if another run takes it back
// in the middle.
func makeRoot(root string) (err error) {
	for range 100 {
		if err = os.MkdirAll(root, 0o755); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return err
}

// OpenRun opens the folder of a run that exists, and removes files that the run was writing when it was killed. It fails if
// another program is working in it.
func OpenRun(dir string) (*Run, error) {
	if _, err := os.Stat(filepath.Join(dir, ConfigName)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is not the folder of a run: there is no %s in it", dir, ConfigName)
		}
		return nil, err
	}
	r := &Run{Dir: dir}
	if err := r.open(os.O_CREATE); err != nil {
		return nil, err
	}
	if err := RemoveUnfinished(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("the folder of the run cannot be tidied: %w", err), r.Close())
	}
	return r, nil
}

// open locks the folder and opens the log.
func (r *Run) open(flags int) error {
	if err := os.MkdirAll(r.Path(CheckpointsName), 0o755); err != nil {
		return fmt.Errorf("the folder of the run cannot be made: %w", err)
	}
	r.lock = flock.New(r.Path(lockName))
	ok, err := r.lock.TryLock()
	switch {
	case err != nil:
		return fmt.Errorf("the folder of the run cannot be locked: %w", err)
	case !ok:
		return fmt.Errorf("another program is working in %s; wait until it ends, or stop it", r.Dir)
	}
	if r.metrics, err = os.OpenFile(r.Path(MetricsName), flags|os.O_RDWR, 0o644); err != nil {
		r.lock.Close()
		return fmt.Errorf("the log of the run cannot be opened: %w", err)
	}
	return nil
}

// Names of the files in a run's folder.
const (
	MetricsName = "metrics.jsonl"
	ConfigName  = "config"
	TrainedName = "trained.onnx"
	BestName    = "best.onnx" // at the best measurement so far
	ResultName  = "result"

	// CheckpointsName is a folder.
	CheckpointsName = "checkpoints"

	lockName = CheckpointsName + "/lock" // never removed, because another program might be about to lock it
)

// Path is that of a file in the folder.
func (r *Run) Path(name string) string { return filepath.Join(r.Dir, name) }

// WriteJSON writes v to the file of that name as indented JSON.
func (r *Run) WriteJSON(name string, v any) error { return WriteJSON(r.Path(name), v) }

// ReadJSON reads what WriteJSON wrote. The error is fs.ErrNotExist if there is no such file.
func (r *Run) ReadJSON(name string, v any) error { return ReadJSON(r.Path(name), v) }

// Metrics appends v to metrics.jsonl as one line of JSON.
func (r *Run) Metrics(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = r.metrics.Write(append(b, '\n'))
	return err
}

// LogSize writes the log to disk and returns its length in bytes.
func (r *Run) LogSize() (int64, error) {
	if err := r.metrics.Sync(); err != nil {
		return 0, err
	}
	info, err := r.metrics.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// CutLog cuts the log to what LogSize returned at some time; the next line goes behind that.
func (r *Run) CutLog(size int64) error {
	info, err := r.metrics.Stat()
	if err != nil {
		return err
	}
	if size < 0 || size > info.Size() {
		return fmt.Errorf("%s has %d bytes, and %d are expected", r.Path(MetricsName), info.Size(), size)
	}
	if err := r.metrics.Truncate(size); err != nil {
		return err
	}
	_, err = r.metrics.Seek(size, io.SeekStart)
	return err
}

// Close ends the log and unlocks the folder.
func (r *Run) Close() error {
	return errors.Join(r.metrics.Sync(), r.metrics.Close(), r.lock.Close())
}

// Remove takes back a run that came to nothing: all files that were made here, the folder, and root if NewRun
// made it.
func (r *Run) Remove() {
	r.metrics.Close()
	os.Remove(r.Path(MetricsName))
	os.Remove(r.Path(ConfigName))
	r.lock.Close()
	os.RemoveAll(r.Path(CheckpointsName))
	os.Remove(r.Dir)
	if r.root != "" {
		os.Remove(r.root) // fails if another run is in it
	}
}
