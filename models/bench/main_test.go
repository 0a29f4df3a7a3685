package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// program writes a shell script that stands for one of the two sides.
func program(t *testing.T, name, script string) string {
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	own = `echo '{"gradient_ms": 5, "step_ms": 6, "flops": 2e9, "peak_gflops": 800, "peak_rss_mb": 50, "allocs": 0}'`
	// With passive waiting two threads are fastest, for a step the first layout.
	other = `
test "$1" = -c && exit 0
case "$OMP_WAIT_POLICY $3 $5" in
"passive 1,2 contiguous,channels_last") echo '{"settings": [
	{"threads": 2, "layout": "contiguous", "gradient_ms": 11, "tensors_ms": 15, "foreach_ms": 13},
	{"threads": 2, "layout": "channels_last", "gradient_ms": 10, "tensors_ms": 16, "foreach_ms": 15}]}' ;;
"active 1,2 contiguous,channels_last") echo '{"settings": [{"threads": 1, "layout": "contiguous", "gradient_ms": 30, "tensors_ms": 30, "foreach_ms": 30}]}' ;;
"passive 2 channels_last") echo '{"torch": "9.9", "import_rss_mb": 200, "peak_rss_mb": 300, "settings": [{"gradient_ms": 10, "tensors_ms": 16, "foreach_ms": 15}]}' ;;
"passive 2 contiguous") echo '{"torch": "9.9", "settings": [{"gradient_ms": 11, "tensors_ms": 15, "foreach_ms": 12}]}' ;;
*) echo "no such setting: $OMP_WAIT_POLICY $*" >&2; exit 1 ;;
esac`
)

func table(t *testing.T, b bench) string {
	t.Helper()
	b.rounds, b.seconds, b.script = 3, 0.1, "script.py"
	var out strings.Builder
	if err := b.run(&out, []string{"net"}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(out.String()), " ")
}

func TestComparison(t *testing.T) {
	out := table(t, bench{binary: program(t, "own", own), python: program(t, "python", other)})
	for _, want := range []string{
		"net 5.00 10.00 0.50 6.00 12.00 0.50 50 % 0 50 300 200",
		"PyTorch 9.9 at its best: gradient with 2 threads, channels_last, OMP_WAIT_POLICY passive; step with 2 threads, contiguous, OMP_WAIT_POLICY passive, with _foreach",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
}

func TestWithoutTorch(t *testing.T) {
	python := program(t, "python", "exit 1")
	out := table(t, bench{binary: program(t, "own", own), python: python})
	if !strings.Contains(out, "net 5.00 - - 6.00 - - 50 % 0 50 - -") || !strings.Contains(out, python+" has no torch") {
		t.Error(out)
	}
}

func TestErrorOfAProgram(t *testing.T) {
	b := bench{binary: program(t, "own", "echo broken >&2; exit 3"), python: "false", rounds: 1}
	if err := b.run(&strings.Builder{}, []string{"net"}); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("%v", err)
	}
}
