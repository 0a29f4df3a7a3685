package report

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestRunsAreNumbered(t *testing.T) {
	root := filepath.Join(t.TempDir(), "runs")
	for _, name := range []string{"7", "12x", "latest"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r, err := NewRun(root)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(root, "8"); r.Dir != want {
		t.Errorf("the run is in %s, want %s", r.Dir, want)
	}
	if err := r.WriteJSON(ConfigName, map[string]int{"a": 1}); err != nil {
		t.Error(err)
	}
	for i := range 2 {
		if err := r.Metrics(struct {
			Outer int `json:"outer"`
		}{i}); err != nil {
			t.Error(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{ConfigName: "{\n  \"a\": 1\n}\n", MetricsName: "{\"outer\":0}\n{\"outer\":1}\n"} {
		if b, err := os.ReadFile(r.Path(name)); err != nil || string(b) != want {
			t.Errorf("%s is %q, %v", name, b, err)
		}
	}
}

func TestRunsAtOnceGetFoldersOfTheirOwn(t *testing.T) {
	root := filepath.Join(t.TempDir(), "runs")
	const n = 20
	dirs := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if r, err := NewRun(root); err == nil {
				dirs[i] = r.Dir
				r.Close()
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, d := range dirs {
		if d == "" || seen[d] {
			t.Errorf("folders %q", dirs)
			break
		}
		seen[d] = true
	}
}

func TestRemoveTakesBack(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "runs")
	first, err := NewRun(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.WriteJSON(ConfigName, 1); err != nil {
		t.Fatal(err)
	}
	second, err := NewRun(root)
	if err != nil {
		t.Fatal(err)
	}
	first.Remove()
	if got := names(t, root); got != "2" {
		t.Errorf("after the first is removed there are %q", got)
	}
	second.Remove() // does not know that runs was made for the first
	if got := names(t, root); got != "" {
		t.Errorf("after both are removed there are %q", got)
	}
	os.Remove(root)
	only, err := NewRun(root)
	if err != nil {
		t.Fatal(err)
	}
	only.Remove()
	if got := names(t, dir); got != "" {
		t.Errorf("a run that was alone leaves %q", got)
	}
}

// Runs that come to nothing take the folder of runs back while others are about to use it.
func TestRunsStartWhileOthersAreTakenBack(t *testing.T) {
	root := filepath.Join(t.TempDir(), "runs")
	errs := make(chan error)
	const programs = 8
	for range programs {
		go func() {
			for range 200 {
				r, err := NewRun(root)
				if err != nil {
					errs <- err
					return
				}
				r.Remove()
			}
			errs <- nil
		}()
	}
	for range programs {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
