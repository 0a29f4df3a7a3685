package report

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, e := range entries {
		s = append(s, e.Name())
	}
	return strings.Join(s, " ")
}

func TestWriteFileReplacesWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, content := range []string{"a long first content", "second", ""} {
		if err := WriteFile(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil || string(b) != content {
			t.Errorf("read %q, %v; want %q", b, err, content)
		}
	}
	if got := names(t, dir); got != "f" {
		t.Errorf("the directory holds %q", got)
	}
}

func TestWriteFileKeepsMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("x")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	// A directory that is not empty cannot be replaced by a file: the write fails at its last step.
	path := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(path, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("x")); err == nil {
		t.Error("a directory was replaced")
	}
	if got := names(t, dir); got != "taken" {
		t.Errorf("the directory holds %q", got)
	}
}

// Renaming over a link or a device would replace it by a file.
func TestLinksAndDevicesStay(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "f"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Skip(err)
	}
	if err := WriteFile(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); err != nil || to != file {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "new" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	device := filepath.Join(dir, "device")
	if err := os.Symlink(os.DevNull, device); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"WriteFile": WriteFile(device, nil), "CheckWritable": CheckWritable(device)} {
		if err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Errorf("%s is %v, %v", os.DevNull, info.Mode(), err)
	}
}

// A link to a file that is not there yet: the file is made where the link says, through further links and relative ones too.
func TestDanglingLinks(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{os.Mkdir(filepath.Join(dir, "far"), 0o755), os.Symlink("second", filepath.Join(dir, "link")),
		os.Symlink(filepath.Join("far", "f"), filepath.Join(dir, "second")), os.Symlink(filepath.Join("gone", "f"), filepath.Join(dir, "nowhere")),
		os.Symlink("b", filepath.Join(dir, "a")), os.Symlink("a", filepath.Join(dir, "b"))} {
		if err != nil {
			t.Skip(err)
		}
	}
	for _, name := range []string{"link", "second"} {
		link := filepath.Join(dir, name)
		if err := CheckWritable(link); err != nil {
			t.Error(err)
		}
		if err := WriteFile(link, []byte(name)); err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "far", "f")); err != nil || string(b) != name {
			t.Errorf("%s: the file holds %q, %v", name, b, err)
		}
		if _, err := os.Readlink(link); err != nil {
			t.Errorf("the link %s is gone: %v", name, err)
		}
		os.Remove(filepath.Join(dir, "far", "f"))
	}
	for name, want := range map[string]string{"nowhere": "there is no directory " + filepath.Join(dir, "gone"), "a": "circle"} {
		path := filepath.Join(dir, name)
		for _, err := range []error{WriteFile(path, nil), CheckWritable(path)} {
			if err == nil || !strings.HasPrefix(err.Error(), path) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if got := names(t, dir); got != "a b far link nowhere second" {
		t.Errorf("the directory holds %q", got)
	}
	if got := names(t, filepath.Join(dir, "far")); got != "" {
		t.Errorf("far holds %q", got)
	}
}

func TestUnwritable(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "no", "f")
	for name, err := range map[string]error{"WriteFile": WriteFile(missing, nil), "CheckWritable": CheckWritable(missing)} {
		if err == nil || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), "there is no directory") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := CheckWritable(dir); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("CheckWritable of a directory: %v", err)
	}
	if err := CheckWritable(filepath.Join(dir, "f")); err != nil {
		t.Error(err)
	}
	if got := names(t, dir); got != "" {
		t.Errorf("the directory holds %q", got)
	}
}

func TestRemoveUnfinished(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".config.123", ".a.onnx.45", "config", ".hidden", ".b.onnx.4x", "c.onnx.12", ".env.d"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Mkdir(filepath.Join(dir, ".folder.7"), 0o700)
	if err := RemoveUnfinished(dir); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); got != ".b.onnx.4x .env.d .folder.7 .hidden c.onnx.12 config" {
		t.Errorf("the directory holds %s", got)
	}
	// What WriteTo leaves when it comes to no end is such a file.
	path := filepath.Join(dir, "x.onnx")
	WriteTo(path, func(io.Writer) error {
		if err := RemoveUnfinished(dir); err != nil {
			t.Error(err)
		}
		if got := names(t, dir); strings.Contains(got, "x.onnx") {
			t.Errorf("the directory holds %s", got)
		}
		return nil
	})
}
