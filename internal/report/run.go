package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// A Run is the folder of one training run: config, metrics.jsonl and whatever else is put there.
type Run struct {
	Dir     string
	metrics *os.File
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
		f, err := os.Create(filepath.Join(dir, MetricsName))
		if err != nil {
			os.Remove(dir)
			return nil, fmt.Errorf("the log of the run cannot be made: %w", err)
		}
		return &Run{Dir: dir, metrics: f, root: made}, nil
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

// Names of the files in a run's folder.
const (
	MetricsName = "metrics.jsonl"
	ConfigName  = "config"
	TrainedName = "trained.onnx"
)

// Path is that of a file in the folder.
func (r *Run) Path(name string) string { return filepath.Join(r.Dir, name) }

// WriteConfig writes v to config as indented JSON.
func (r *Run) WriteConfig(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(r.Path(ConfigName), append(b, '\n'))
}

// Metrics appends v to metrics.jsonl as one line of JSON.
func (r *Run) Metrics(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = r.metrics.Write(append(b, '\n'))
	return err
}

// Close ends the log.
func (r *Run) Close() error { return errors.Join(r.metrics.Sync(), r.metrics.Close()) }

// Remove takes back a run that came to nothing: its log, its config and the folder, and root if NewRun made it.
func (r *Run) Remove() {
	r.metrics.Close()
	os.Remove(r.Path(MetricsName))
	os.Remove(r.Path(ConfigName))
	os.Remove(r.Dir)
	if r.root != "" {
		os.Remove(r.root) // fails if another run is in it
	}
}
