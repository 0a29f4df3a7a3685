// Package report writes what a run leaves behind and shows how it goes: files that are whole or absent, the
// folder of a run, its log, and the progress on a terminal or in a log file.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// WriteFile writes data to path as WriteTo does.
func WriteFile(path string, data []byte) error {
	return WriteTo(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// WriteTo writes what content writes to path so that a reader, or a machine that loses its power, finds the old
// content or the new one and nothing between: a file of another name in the same directory is written, synced
// and renamed. A symbolic link stays, and the file it leads to is replaced. What is no regular file, such as a
// device, would be lost by that and is refused.
func WriteTo(path string, content func(io.Writer) error) (err error) {
	path, mode, err := target(path)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return cannotWrite(path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = cannotWrite(path, err)
		}
	}()
	if err = content(f); err != nil {
		return err
	}
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	syncDir(dir)
	return nil
}

var unfinished = regexp.MustCompile(`^\..+\.\d+$`)

// RemoveUnfinished removes from a directory what WriteTo has left there when the program was killed. No other program
// may be writing into it.
func RemoveUnfinished(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !unfinished.MatchString(e.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// WriteJSON writes v to path as WriteFile does, as indented JSON.
func WriteJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(path, append(b, '\n'))
}

// ReadJSON reads a file of JSON into v. The error is fs.ErrNotExist if there is no such file.
func ReadJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// CheckWritable fails if WriteFile(path) would, as far as that can be known before there is anything to write.
// It leaves nothing behind.
func CheckWritable(path string) error {
	path, _, err := target(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return cannotWrite(path, err)
	}
	f.Close()
	return os.Remove(f.Name())
}

// target finds the file that a write to path replaces, and the mode that it gets.
func target(path string) (string, fs.FileMode, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil: // it is new, or creating it tells what is wrong
		path, err = linked(path)
		return path, 0o644, err
	case info.IsDir():
		return "", 0, fmt.Errorf("%s is a directory; name a file in it", path)
	case !info.Mode().IsRegular():
		return "", 0, fmt.Errorf("%s is no regular file; name another file", path)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", 0, cannotWrite(path, err)
	}
	return real, info.Mode().Perm(), nil
}

// linked follows symbolic links that lead to no file, to where the file will be.
func linked(path string) (string, error) {
	at := path
	for range 40 { // as many as Linux follows
		to, err := os.Readlink(at)
		if err != nil { // no link
			return at, nil
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(at), to)
		}
		dir, err := filepath.EvalSymlinks(filepath.Dir(to))
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%s cannot be written: it is a symbolic link to %s, and there is no directory %s", path, to, filepath.Dir(to))
		} else if err != nil {
			return "", cannotWrite(path, err)
		}
		at = filepath.Join(dir, filepath.Base(to))
	}
	return "", fmt.Errorf("%s is a symbolic link that leads in a circle; name another file", path)
}

// cannotWrite says which of the caller's names is at fault; that of the temporary file means nothing to him.
func cannotWrite(path string, err error) error {
	if _, gone := os.Stat(filepath.Dir(path)); errors.Is(gone, fs.ErrNotExist) {
		return fmt.Errorf("%s cannot be written: there is no directory %s", path, filepath.Dir(path))
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("%s cannot be written: %w", path, err)
}

// syncDir makes a rename durable. Not every file system can, and the file itself is safe, so errors don't count.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}
