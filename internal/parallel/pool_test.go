package parallel

import (
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// count notes how often each part ran, and that no two parts shared a worker at the same time.
type count struct {
	parts []atomic.Int32
	busy  []atomic.Int32
	clash atomic.Bool
	panic int // part that panics; -1 for none
}

func newCount(parts, workers int) *count {
	return &count{parts: make([]atomic.Int32, parts), busy: make([]atomic.Int32, workers), panic: -1}
}

func (c *count) Part(worker, part int) {
	if c.busy[worker].Add(1) != 1 {
		c.clash.Store(true)
	}
	if part == c.panic {
		defer c.busy[worker].Add(-1)
		panic("part " + string(rune('0'+part)))
	}
	c.parts[part].Add(1)
	runtime.Gosched()
	c.busy[worker].Add(-1)
}

func TestRunRunsEachPartOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 5} {
		p := New(threads)
		for _, parts := range []int{0, 1, 2, 3, 100} {
			c := newCount(parts, threads)
			for range 20 {
				p.Run(parts, c)
			}
			for i := range c.parts {
				if n := c.parts[i].Load(); n != 20 {
					t.Errorf("%d threads, %d parts: part %d ran %d times in 20 runs", threads, parts, i, n)
				}
			}
			if c.clash.Load() {
				t.Errorf("%d threads, %d parts: two parts ran as one worker", threads, parts)
			}
		}
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	p, c := New(2), newCount(8, 2)
	if n := testing.AllocsPerRun(100, func() { p.Run(8, c) }); n != 0 {
		t.Errorf("%v allocations a run", n)
	}
}

func TestRunReraisesAPanic(t *testing.T) {
	for _, threads := range []int{1, 3} {
		p, c := New(threads), newCount(6, threads)
		c.panic = 4
		func() {
			defer func() {
				r := recover()
				if r == nil {
					t.Fatalf("%d threads: no panic reached the caller", threads)
				}
				if e, ok := r.(*Panic); ok && (!strings.Contains(e.Error(), "part 4") || !strings.Contains(e.Error(), "pool_test.go")) {
					t.Errorf("%d threads: %v lacks the value or the stack", threads, e)
				}
			}()
			p.Run(6, c)
		}()
		c.panic = -1
		p.Run(6, c) // the pool still works
	}
}

func TestAbandonedPoolEndsItsGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 10 {
		New(4).Run(4, newCount(4, 4))
	}
	for range 100 {
		runtime.GC()
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before the pools", runtime.NumGoroutine(), before)
}

// sharing is a task that runs one of another Pool of as many threads inside a part.
type sharing struct {
	inner *Pool
	task  Task
	other *crew
}

func (s *sharing) Part(_, part int) {
	if part == 0 {
		s.inner.Run(4, s.task)
		s.other = s.inner.crew
	}
}

// TestPoolsShareACrew unless they run at the same time.
func TestPoolsShareACrew(t *testing.T) {
	a, b := New(3), New(3)
	c := newCount(4, 3)
	a.Run(4, c)
	b.Run(4, c)
	if a.crew != b.crew {
		t.Error("two Pools in turns have a crew each")
	}
	nested := &sharing{inner: b, task: c}
	a.Run(2, nested)
	if nested.other == a.crew {
		t.Error("a crew runs two tasks at once")
	}
	if New(2).crew == a.crew {
		t.Error("Pools of different numbers of threads share a crew")
	}
	for i := range c.parts {
		if n := c.parts[i].Load(); n != 3 {
			t.Errorf("part %d ran %d times in 3 runs", i, n)
		}
	}
}

// TestManyRuns makes helpers sleep, wake late and be left behind.
func TestManyRuns(t *testing.T) {
	for _, threads := range []int{2, 3, 8} {
		p, c := New(threads), newCount(4, threads)
		runs := int32(0)
		for pause := range 60 {
			for range 200 {
				p.Run(4, c)
				runs++
			}
			time.Sleep(time.Duration(pause) * 5 * time.Microsecond)
			p.Run(1+pause%4, newCount(4, threads))
		}
		for i := range c.parts {
			if n := c.parts[i].Load(); n != runs {
				t.Errorf("%d threads: part %d ran %d times in %d runs", threads, i, n, runs)
			}
		}
		if c.clash.Load() {
			t.Errorf("%d threads: two parts ran as one worker", threads)
		}
	}
}

func TestAbsurdNumberOfThreads(t *testing.T) {
	p := New(2_000_000_000)
	if n := p.Threads(); n < 64 || n > 64*runtime.NumCPU() {
		t.Fatalf("%d threads", n)
	}
	c := newCount(1000, p.Threads())
	p.Run(1000, c)
	for i := range c.parts {
		if n := c.parts[i].Load(); n != 1 {
			t.Errorf("part %d ran %d times", i, n)
		}
	}
}

// nothing is a task whose cost is that of starting it.
type nothing struct{}

func (nothing) Part(_, _ int) {}

// BenchmarkRun is the cost of a task of two empty parts: one after the other, and after a pause as between the
// operators of a network.
func BenchmarkRun(b *testing.B) {
	p := New(2)
	for _, pause := range []time.Duration{0, 5 * time.Microsecond, 200 * time.Microsecond} {
		b.Run(pause.String(), func(b *testing.B) {
			var run time.Duration
			for b.Loop() {
				for start := time.Now(); time.Since(start) < pause; {
				}
				start := time.Now()
				p.Run(2, nothing{})
				run += time.Since(start)
			}
			b.ReportMetric(float64(run.Nanoseconds())/float64(b.N), "ns/run")
		})
	}
}

// meeting is a task whose first part waits for the second worker, which then waits for all the other parts.
type meeting struct {
	parts   int
	begun   chan int // the first part of the second worker
	done    chan struct{}
	others  atomic.Int32
	workers []int32 // of each part
}

func (m *meeting) Part(worker, part int) {
	m.workers[part] = int32(worker)
	switch {
	case worker == 1:
		m.begun <- part
		<-m.done
		return
	case part == 0:
		if at := <-m.begun; at != m.parts/2 {
			panic("the second worker begins elsewhere")
		}
	}
	if m.others.Add(1) == int32(m.parts-1) {
		close(m.done)
	}
}

// A worker begins with its own share, and takes from another one who is slow.
func TestRunSharesAndSteals(t *testing.T) {
	p := New(2)
	for _, parts := range []int{2, 3, 10} {
		m := &meeting{parts: parts, begun: make(chan int, parts), done: make(chan struct{}), workers: make([]int32, parts)}
		p.Run(parts, m)
		for i, w := range m.workers {
			if want := i == parts/2; (w == 1) != want {
				t.Errorf("%d parts: part %d ran on worker %d", parts, i, w)
			}
		}
	}
}
