// Package parallel runs the numbered parts of a task on a fixed set of goroutines.
//
// A task is cut into parts by its shape alone, never by the number of threads, and each part writes its
// own results. Which goroutine runs a part is left to chance; what is computed is not.
package parallel

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// A Task is work in parts that may run in any order and at the same time.
type Task interface {
	// Part runs one part. worker is in [0, Threads) and no two parts that run at the same time see the
	// same one, so it may index scratch memory.
	Part(worker, part int)
}

// A Pool is a set of goroutines that sleep between tasks. Run may be called from one goroutine at a
// time. A Pool that is no longer referenced ends its goroutines.
type Pool struct{ *state }

type state struct {
	threads int
	start   []chan struct{} // one for each goroutine besides the caller's
	done    sync.WaitGroup
	task    Task
	parts   int64
	next    atomic.Int64
	failure atomic.Pointer[Panic]
	stop    chan struct{}
}

// Panic is what Run panics with when a part panicked: the value and the stack of the part.
type Panic struct {
	Value any
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("%v\n%s", p.Value, p.Stack) }

// New returns a pool of the given number of threads, the caller of Run being one of them.
// threads <= 0 means runtime.GOMAXPROCS(0).
func New(threads int) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	s := &state{threads: threads, stop: make(chan struct{})}
	for w := 1; w < threads; w++ {
		c := make(chan struct{}, 1)
		s.start = append(s.start, c)
		go s.serve(w, c)
	}
	p := &Pool{s}
	runtime.AddCleanup(p, func(stop chan struct{}) { close(stop) }, s.stop)
	return p
}

// Threads is the number of parts that may run at the same time.
func (s *state) Threads() int { return s.threads }

// Run runs the parts [0, parts) of t and returns when all are done. If a part panics, the remaining
// parts are skipped and Run panics with a *Panic in the caller's goroutine.
func (p *Pool) Run(parts int, t Task) {
	s := p.state
	if parts <= 0 {
		return
	}
	if parts == 1 || s.threads == 1 {
		for i := range parts {
			t.Part(0, i)
		}
		return
	}
	s.task, s.parts = t, int64(parts)
	s.next.Store(0)
	helpers := min(s.threads, parts) - 1
	s.done.Add(helpers)
	for _, c := range s.start[:helpers] {
		c <- struct{}{}
	}
	s.work(0)
	s.done.Wait()
	s.task = nil
	runtime.KeepAlive(p)
	if f := s.failure.Swap(nil); f != nil {
		panic(f)
	}
}

func (s *state) serve(worker int, start <-chan struct{}) {
	for {
		select {
		case <-s.stop:
			return
		case <-start:
			s.work(worker)
			s.done.Done()
		}
	}
}

func (s *state) work(worker int) {
	defer func() {
		if r := recover(); r != nil {
			s.failure.CompareAndSwap(nil, &Panic{r, debug.Stack()})
			s.next.Store(s.parts)
		}
	}()
	for {
		i := s.next.Add(1) - 1
		if i >= s.parts {
			return
		}
		s.task.Part(worker, int(i))
	}
}
