package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onnx-entropy/onnx-entropy/models"
)

// asProgram makes the test binary behave as the program, so that tests can start and kill it.
const asProgram = "ONNX_ENTROPY_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

func program(args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// convDir is a work directory with mnistconv (batch normalisation, dropout) as m.onnx and 28x28 squares as data.
func convDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	b, err := models.Open("mnistconv")
	if err != nil {
		t.Fatal(err)
	}
	write(t, "m.onnx", b)
	squaresDir(t, "data", 28)
	return dir
}

// killed is a run in mid-Langevin with dropout and the oddball sampler, of 12 outer steps of 5 gradients.
var killed = []string{"train", "m.onnx", "--data", "data", "--batch", "8", "-L", "5", "--max-outer", "12", "--epochs", "100", "--reinit", "4", "--checkpoint-every", "3",
	"--sampler", "oddball", "--oddball-weights"}

// TestKillAndResume kills the program at random moments and resumes it until it is finished; the files are then
// those of a run that was never killed.
func TestKillAndResume(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the program dozens of times")
	}
	kills := 20
	if s := os.Getenv("ONNX_ENTROPY_KILLS"); s != "" {
		kills, _ = strconv.Atoi(s)
	}
	convDir(t)
	must(t, append(killed, "--out", "whole.onnx")...)
	whole, best, metrics := read(t, "whole.onnx"), read(t, "runs/1/best.onnx"), withoutSeconds(t, "runs/1/metrics.jsonl")
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	run := 1
	for done := 0; done < kills; {
		run++
		folder := filepath.Join("runs", strconv.Itoa(run))
		args := append(killed, "--out", "killed.onnx")
		for {
			cmd := program(args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			// At any moment from the program's start, once it has a checkpoint to go on from.
			for {
				if c, _ := filepath.Glob(filepath.Join(folder, "checkpoints", "0*.ckpt")); len(c) > 0 {
					break
				}
				time.Sleep(time.Millisecond)
			}
			var err error
			select {
			case <-time.After(time.Duration(r.Int64N(int64(400 * time.Millisecond)))):
				cmd.Process.Kill()
				err = <-ended
				done++
			case err = <-ended:
			}
			if err == nil {
				break // finished
			}
			if cmd.ProcessState.ExitCode() > 0 {
				t.Fatalf("%q failed by itself: %v", args, err)
			}
			args = []string{"train", "--resume", folder, "--threads", strconv.Itoa(1 + r.IntN(3))}
		}
		if !bytes.Equal(read(t, "killed.onnx"), whole) || !bytes.Equal(read(t, filepath.Join(folder, "trained.onnx")), whole) {
			t.Fatalf("after %d kills, %s ends at another model than the run that was never killed", done, folder)
		}
		if !bytes.Equal(read(t, filepath.Join(folder, "best.onnx")), best) {
			t.Fatalf("%s has another best.onnx", folder)
		}
		if got := withoutSeconds(t, filepath.Join(folder, "metrics.jsonl")); got != metrics {
			t.Fatalf("%s has another log:\n%s\nwant\n%s", folder, got, metrics)
		}
		os.Remove("killed.onnx")
		if half, _ := filepath.Glob(filepath.Join(folder, "checkpoints", ".*.ckpt.*")); len(half) > 0 {
			t.Fatalf("%q remain of checkpoints that were being written", half)
		}
	}
	t.Logf("%d kills in %d runs", kills, run-1)
}

// withoutSeconds is a log without the times.
func withoutSeconds(t *testing.T, path string) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.Lines(string(read(t, path))) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%s: %v in %q", path, err, line)
		}
		delete(m, "seconds")
		b, _ := json.Marshal(m)
		out.Write(append(b, '\n'))
	}
	return out.String()
}

// The checkpoints that stay are as many as asked for, and best.onnx has the error of the best measurement.
func TestBestIsKept(t *testing.T) {
	workDir(t)
	out := must(t, "train", "m.onnx", "--data", "data", "--batch", "16", "--optimizer", "sgd", "--lr", "0.5", "--epochs", "12", "--evaluations", "12", "--checkpoint-every", "5", "--keep", "4")
	if all, _ := filepath.Glob("runs/1/checkpoints/0*.ckpt"); len(all) != 4 || !strings.Contains(out, "best.onnx") {
		t.Errorf("%q stay:\n%s", all, out)
	}
	_, lines := lastRun(t, "1")
	var least *evaluation
	for _, m := range lines {
		if m.Test != nil && (least == nil || *m.Test.Error < *least.Error) {
			least = m.Test
		}
	}
	var got evaluation
	if err := json.Unmarshal([]byte(must(t, "eval", "runs/1/best.onnx", "--data", "data", "--json")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Loss != least.Loss || *got.Error != *least.Error {
		t.Errorf("best.onnx has %v and an error of %v, the best measurement %v and %v", got.Loss, *got.Error, least.Loss, *least.Error)
	}
}

func TestResumeFinished(t *testing.T) {
	dir := workDir(t)
	must(t, "train", "m.onnx", "--data", "data", "--batch", "16", "--out", "o.onnx")
	before, log := files(t, dir), read(t, "runs/1/metrics.jsonl")
	out := must(t, "train", "--resume", "runs/1")
	if !strings.Contains(out, "finished") || !strings.Contains(out, "nothing to do") {
		t.Errorf("%s", out)
	}
	if files(t, dir) != before || !bytes.Equal(read(t, "runs/1/metrics.jsonl"), log) {
		t.Error("resuming a finished run has changed files")
	}
}

// stopped makes a run that was interrupted after some outer steps.
func stopped(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for ; ; time.Sleep(time.Millisecond) {
			if b, err := readIfThere("runs/1/metrics.jsonl"); err == nil && bytes.Count(b, []byte("\n")) >= 2 {
				cancel()
				return
			}
		}
	}()
	_, errs, code := callContext(t, ctx, append([]string{"train", "m.onnx", "--data", "data", "--batch", "16", "--epochs", "5000"}, args...)...)
	if code != 1 || !strings.Contains(errs, "--resume") {
		t.Fatalf("exit code %d, %s", code, errs)
	}
}

func TestResumeRefuses(t *testing.T) {
	workDir(t)
	stopped(t)
	for _, c := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"--resume", "runs/1", "--lr", "0.5"}, "--lr has no effect with --resume", 2},
		{[]string{"m.onnx", "--resume", "runs/1"}, "MODEL cannot be given", 2},
		{[]string{"--resume", "runs/7"}, "runs/7 is not the folder of a run", 1},
		{[]string{"--resume", "data"}, "data is not the folder of a run", 1},
		{[]string{"m.onnx", "--data", "data", "--keep", "0"}, "--keep is 0", 2},
		{[]string{"m.onnx", "--data", "data", "--checkpoint-every", "often"}, `--checkpoint-every is "often"`, 2},
	} {
		_, errs, code := call(t, append([]string{"train"}, c.args...)...)
		if code != c.code || !strings.Contains(filepath.ToSlash(errs), c.want) {
			t.Errorf("%q: exit code %d, %s", c.args, code, errs)
		}
	}
	// Other data, and then another model, under the old names.
	images := read(t, "data/train-images-idx3-ubyte")
	changed := bytes.Clone(images)
	changed[100] ^= 1
	write(t, "data/train-images-idx3-ubyte", changed)
	if _, errs, code := call(t, "train", "--resume", "runs/1"); code != 1 || !strings.Contains(errs, "another training data") {
		t.Errorf("other data: exit code %d, %s", code, errs)
	}
	write(t, "data/train-images-idx3-ubyte", images)
	l := newLinear(6)
	l.weights[0]++
	write(t, "m.onnx", l.onnx())
	if _, errs, code := call(t, "train", "--resume", "runs/1"); code != 1 || !strings.Contains(errs, "another model") {
		t.Errorf("another model: exit code %d, %s", code, errs)
	}
	config := read(t, "runs/1/config")
	for content, want := range map[string]string{"{": "unexpected end of JSON", "{}": "does not say how the run was started"} {
		write(t, "runs/1/config", []byte(content))
		if _, errs, code := call(t, "train", "--resume", "runs/1"); code != 1 || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("a config of %s: exit code %d, %s", content, code, errs)
		}
	}
	write(t, "runs/1/config", bytes.Replace(config, []byte(`"Seed": 1`), []byte(`"Seed": 2`), 1))
	write(t, "m.onnx", newLinear(6).onnx())
	if _, errs, code := call(t, "train", "--resume", "runs/1"); code != 1 || !strings.Contains(errs, "different are also method, seed") {
		t.Errorf("another seed: exit code %d, %s", code, errs)
	}
	write(t, "runs/1/config", config)
	// All checkpoints but the first are damaged.
	write(t, "m.onnx", newLinear(6).onnx())
	all, _ := filepath.Glob("runs/1/checkpoints/0*.ckpt")
	for _, f := range all[1:] {
		write(t, f, []byte("OEntropy"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	out, errs, _ := callContext(t, ctx, "train", "--resume", "runs/1")
	if !strings.Contains(out, "is cut off; going on from the checkpoint before") {
		t.Errorf("a damaged checkpoint: %s%s", out, errs)
	}
}

// TestTwoProgramsOnOneRun starts the program twice on the same folder.
func TestTwoProgramsOnOneRun(t *testing.T) {
	workDir(t)
	stopped(t, "--epochs", "10000000", "--scoping", "0")
	first := program("train", "--resume", "runs/1")
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	defer first.Wait()
	defer first.Process.Kill()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "Resumed") {
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, errs, code := callContext(t, ctx, "train", "--resume", "runs/1", "--threads", "1")
	if code != 1 || !strings.Contains(errs, "another program is working in runs") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

// mount makes dir a file system of the given size in memory, for as long as the test runs.
func mount(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no file system can be mounted here: %v %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
}

func TestFullDisk(t *testing.T) {
	t.Run("from the start", func(t *testing.T) {
		dir := convDir(t)
		mount(t, filepath.Join(dir, "runs"), "1m") // a checkpoint takes 2.6 MB
		_, errs, code := call(t, "train", "m.onnx", "--data", "data", "--batch", "8", "--max-outer", "2")
		if code != 1 || !strings.Contains(errs, "cannot be written: no space left on device") {
			t.Errorf("exit code %d, %s", code, errs)
		}
		if got := files(t, "runs"); got != "" {
			t.Errorf("%s is left behind", got)
		}
	})
	t.Run("later", func(t *testing.T) {
		dir := convDir(t)
		must(t, append(killed, "--out", "whole.onnx")...)
		whole := read(t, "whole.onnx")
		os.RemoveAll("runs")
		mount(t, filepath.Join(dir, "runs"), "12m")
		// The disk is full from the first test on, until the second warning.
		tests, warnings := 0, 0
		watch := watcher{see: func(line string) {
			switch {
			case strings.HasPrefix(line, "test "):
				if tests++; tests == 1 {
					fill(t, "runs/filler")
				}
			case strings.Contains(line, "no checkpoint at gradient"):
				if warnings++; warnings == 2 {
					os.Remove("runs/filler")
				}
			}
		}}
		var errs bytes.Buffer
		err := run(context.Background(), append(killed, "--out", "full.onnx"), &watch, &errs)
		out, code := watch.text.String(), exitCode(err)
		if code != 0 || !strings.Contains(out, "warning: no checkpoint at gradient") || !strings.Contains(out, "the one before remains") {
			t.Fatalf("exit code %d: %v\n%s%s", code, err, out, errs.String())
		}
		if !bytes.Equal(read(t, "full.onnx"), whole) {
			t.Error("a full disk has changed the result")
		}
	})
}

// fill takes all the room that the file system of path has.
func fill(t *testing.T, path string) {
	f, err := os.Create(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	for b := make([]byte, 1<<12); err == nil; {
		_, err = f.Write(b)
	}
}

// A watcher shows what is written, line by line, before the writer goes on.
type watcher struct {
	text bytes.Buffer
	rest string
	see  func(line string)
}

func (w *watcher) Write(b []byte) (int, error) {
	w.text.Write(b)
	lines := strings.Split(w.rest+string(b), "\n")
	w.rest = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		w.see(line)
	}
	return len(b), nil
}

func TestReadOnlyFolder(t *testing.T) {
	dir := workDir(t)
	runs := filepath.Join(dir, "runs")
	mount(t, runs, "4m")
	if out, err := exec.Command("mount", "-o", "remount,ro", runs).CombinedOutput(); err != nil {
		t.Skipf("%v %s", err, out)
	}
	_, errs, code := call(t, "train", "m.onnx", "--data", "data", "--batch", "16")
	if code != 1 || !strings.Contains(errs, "read-only file system") || strings.Count(errs, "\n") != 2 {
		t.Errorf("exit code %d, %s", code, errs)
	}
}
