package onnxload_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	machine "github.com/onnx-entropy/onnx-entropy/internal/exec"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

var (
	mutations    = flag.Int("mutations", 2000, "number of files that TestMutations makes")
	mutationFrom = flag.Uint64("mutation-from", 0, "number of the first")
)

// Limits of TestMutations: a file may cost mutationSlack and four times its size of memory (everything that is allocated
// counts, freed or not), and mutationTime of the processor.
const (
	mutationMemory = 64 << 20 // Options.MaxMemory
	mutationSlack  = mutationMemory + 128<<20
	mutationTime   = 2 * time.Second
)

// TestMutations changes files of all kinds and does with each what the program does: reads it, builds graphs, computes a
// gradient if the graph is small, and writes it back. A child process does it, so that a crash is found too. A million:
//
//	go test ./onnxload -run TestMutations -mutations 1000000 -timeout 0
func TestMutations(t *testing.T) {
	if text := os.Getenv("ONNX_ENTROPY_MUTATIONS"); text != "" {
		mutationChild(t, text)
		return
	}
	n := uint64(*mutations)
	if testing.Short() {
		n = min(n, 300)
	}
	built, computed := 0, 0
	for from, end := *mutationFrom, *mutationFrom+n; from < end; {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestMutations$", "-test.timeout", "0")
		cmd.Env = append(os.Environ(), fmt.Sprintf("ONNX_ENTROPY_MUTATIONS=%d:%d", from, end), "GOMAXPROCS=1")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		// The child says the number of a file before it takes it, and how it went at the end.
		at := from
		for line := range strings.Lines(out.String()) {
			if text, ok := strings.CutPrefix(line, "finding "); ok {
				t.Error(strings.TrimSpace(text))
			}
			if text, ok := strings.CutPrefix(line, "at "); ok {
				if k, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64); err == nil {
					at = k
				}
			}
			var b, c int
			if k, _ := fmt.Sscanf(line, "built %d computed %d", &b, &c); k == 2 {
				built, computed = built+b, computed+c
			}
		}
		if err == nil {
			break
		}
		text := out.String()
		if i := strings.Index(text, "panic: "); i >= 0 {
			text = text[i:]
		} else if i := strings.Index(text, "fatal error: "); i >= 0 {
			text = text[i:]
		}
		t.Errorf("file %d: the process ended (%v): %.3000s", at, err, text)
		from = at + 1
	}
	if built == 0 || computed == 0 {
		t.Error("no file gave a graph, or no gradient was computed")
	}
	t.Logf("%d of %d files gave a graph; for %d the gradient was computed", built, n, computed)
}

// mutationChild takes files from:end.
func mutationChild(t *testing.T, text string) {
	var from, end uint64
	if _, err := fmt.Sscanf(text, "%d:%d", &from, &end); err != nil {
		t.Fatal(err)
	}
	m := newMutator(corpus(t))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "w.bin"), make([]byte, 1000), 0o666); err != nil {
		t.Fatal(err)
	}
	var number atomic.Uint64
	var since atomic.Int64
	go func() {
		// Time of the processor, for the machine may have others to work for.
		for range time.Tick(100 * time.Millisecond) {
			if s := since.Load(); s > 0 && processorTime()-time.Duration(s) > 2*mutationTime {
				buf := make([]byte, 1<<14)
				fmt.Printf("at %d\npanic: it hangs\n%s\n", number.Load(), buf[:runtime.Stack(buf, true)])
				os.Exit(3)
			}
		}
	}()
	built, computed := 0, 0
	for n := from; n < end; n++ {
		b := m.file(n)
		if n%64 == 0 {
			debug.FreeOSMemory()
		}
		fmt.Printf("at %d\n", n)
		number.Store(n)
		start, before := processorTime(), allocated()
		since.Store(int64(start))
		graph, gradient, err := harmless(dir, b)
		since.Store(0)
		built, computed = built+graph, computed+gradient
		if d := processorTime() - start; d > mutationTime && err == nil {
			err = fmt.Errorf("it takes %v", d)
		}
		if size := allocated() - before; size > 4*uint64(len(b))+mutationSlack && err == nil {
			err = fmt.Errorf("it allocates %d MB", size>>20)
		}
		if err != nil {
			fmt.Printf("finding file %d of %d bytes: %s\n", n, len(b), strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	fmt.Printf("built %d computed %d\n", built, computed)
}

func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// harmless does with a file what the program does, and counts the graph and the gradient that it gave. What a file may do wrong
// is no error.
func harmless(dir string, b []byte) (graph, gradient int, err error) {
	m, err := onnxload.Parse(b)
	if err != nil && strings.Contains(err.Error(), "lie in another file") {
		path := filepath.Join(dir, "m.onnx")
		if err := os.WriteFile(path, b, 0o666); err != nil {
			return 0, 0, err
		}
		m, err = onnxload.ParseFile(path)
	}
	if err != nil {
		return 0, 0, oneLine(err)
	}
	m.Warnings()
	m.TrainingMode()
	m.Metadata()
	for _, training := range []bool{true, false} {
		net, err := m.Build(2, onnxload.Options{Training: training, MaxMemory: mutationMemory})
		if err != nil {
			if err := oneLine(err); err != nil {
				return graph, 0, err
			}
			continue
		}
		graph = 1
		w, r := net.Reinit(1)
		for _, same := range []bool{true, false} {
			out, err := net.Export(w, r, onnxload.ExportOptions{Same: same, Metadata: map[string]string{"a": "b"}})
			if err != nil {
				continue
			}
			if _, err := onnxload.Parse(out); err != nil {
				return graph, gradient, fmt.Errorf("the exported file cannot be read: %w", err)
			}
		}
		if training {
			done, err := oneGradient(net)
			if err != nil {
				return graph, gradient, err
			}
			gradient = boolInt(done)
		}
	}
	return graph, gradient, nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// oneLine finds out whether an error is as it should be.
func oneLine(err error) error {
	var u *onnxload.UnsupportedError
	switch text := err.Error(); {
	case strings.Contains(text, "cannot be built") || strings.Contains(text, "runtime error") || strings.Contains(text, "panic"):
		return fmt.Errorf("a panic was caught: %w", err)
	case !errors.As(err, &u) && strings.Contains(text, "\n"):
		return fmt.Errorf("an error of several lines: %w", err)
	}
	return nil
}

// oneGradient computes the derivative of the sum of the first output by weights and inputs, if the graph is small.
func oneGradient(net *onnxload.Net) (done bool, err error) {
	y := net.Outputs[0]
	if y.Dtype() != tensor.Float32 || y.Shape().TotalSize() == 0 {
		return false, nil
	}
	var results gorgonia.Nodes
	err = ops.Building(func() error {
		if y.Dims() > 0 {
			axes := make([]int, y.Dims())
			for i := range axes {
				axes[i] = i
			}
			var err error
			if y, err = ops.ReduceSum(y, axes, false); err != nil {
				return err
			}
		}
		var wrt gorgonia.Nodes
		below := reaches(y)
		for _, p := range net.Params {
			if below[p.Node] {
				wrt = append(wrt, p.Node)
			}
		}
		for _, x := range net.Inputs {
			if below[x] && x.Dtype() == tensor.Float32 {
				wrt = append(wrt, x)
			}
		}
		if len(wrt) == 0 || y.Op() == nil {
			return nil
		}
		d, err := gorgonia.Grad(y, wrt...)
		results = append(gorgonia.Nodes{y}, d...)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("gradient: %w", err)
	}
	if results == nil {
		return false, nil
	}
	plan, err := machine.Compile(results, machine.Options{})
	if err != nil {
		return false, fmt.Errorf("plan: %w", err)
	}
	work := 0.0
	for _, c := range plan.Costs() {
		work += c.FLOPs + c.Bytes
	}
	if all, _, _ := plan.Memory(1); all > mutationMemory || work > 1e7 {
		return false, nil
	}
	vm := plan.New(parallel.New(1))
	bind := func(n *gorgonia.Node, data []float32) {
		if h, ok := vm.Input(n); ok && err == nil {
			err = vm.BindF32(h, data)
		}
	}
	w, r := net.Weights(), net.Running()
	for _, p := range net.Params {
		bind(p.Node, w[p.From:p.To])
	}
	for _, b := range net.Buffers {
		if b.Node != nil {
			bind(b.Node, r[b.From:b.To])
		}
	}
	for _, n := range net.Inputs {
		size := n.Shape().TotalSize()
		if n.Dtype() != tensor.Int64 {
			bind(n, make([]float32, size))
		} else if h, ok := vm.Input(n); ok && err == nil {
			err = vm.BindI64(h, make([]int64, size))
		}
	}
	if err == nil {
		if err = vm.Run(context.Background(), machine.Draw{}); err != nil && !strings.Contains(err.Error(), "panic") {
			err = nil // such as an index that is too large
		}
	}
	return true, err
}

// reaches returns the nodes by which y has a derivative.
func reaches(y *gorgonia.Node) map[*gorgonia.Node]bool {
	seen := map[*gorgonia.Node]bool{}
	stack := gorgonia.Nodes{y}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		if stack = stack[:len(stack)-1]; seen[n] {
			continue
		}
		seen[n] = true
		op, ok := n.Op().(gorgonia.SDOp)
		if !ok {
			continue
		}
		var of gorgonia.Nodes
		for it := n.Graph().From(n.ID()); it.Next(); {
			of = append(of, it.Node().(*gorgonia.Node))
		}
		for i, passes := range op.DiffWRT(len(of)) {
			if passes {
				stack = append(stack, of[i])
			}
		}
	}
	return seen
}
