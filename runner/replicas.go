package runner

import (
	"context"
	"fmt"

	"github.com/onnx-entropy/onnx-entropy/internal/exec"
	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// Grads is Grad for several points at once: it answers query i, whose mini-batch is b[i], in r[i], whose Grad has
// Dim elements. Replicas share a plan and have machines of their own, which run at the same time on a share
// of the threads each; results are those of Grad, bit for bit.
func (s *Step) Grads(ctx context.Context, q []optimizer.Query, b []*Batch, r []optimizer.Result) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(b) != len(q) || len(r) != len(q) {
		return fmt.Errorf("runner: %d mini-batches and %d results for %d queries", len(b), len(r), len(q))
	}
	if len(q) == 1 {
		loss, err := s.gradient(ctx, r[0].Grad, q[0].Point, b[0], q[0].At)
		r[0].Loss = loss
		return err
	}
	return s.crowd.run(ctx, s, q, b, r)
}

// crowd runs the machines of replicas.
type crowd struct {
	workers *parallel.Pool
	pools   []*parallel.Pool // of each replica's machine

	s        *Step
	ctx      context.Context
	machines []*compiled
	queries  []optimizer.Query
	batches  []*Batch
	results  []optimizer.Result
	errs     []error
}

func (c *crowd) run(ctx context.Context, s *Step, q []optimizer.Query, b []*Batch, r []optimizer.Result) error {
	c.grow(s.pool.Threads(), len(q))
	for i := range q {
		if len(r[i].Grad) != s.Dim() || len(q[i].Point) != s.Dim() {
			return fmt.Errorf("runner: gradient of %d and weights of %d elements for a network of %d", len(r[i].Grad), len(q[i].Point), s.Dim())
		}
		plan, err := s.compile(forGradient, b[i])
		if err != nil {
			return err
		}
		if !plan.forked(i) {
			if err := s.fits(plan.net, plan.vm.Plan(), 1); err != nil {
				return err
			}
		}
		if c.machines[i], err = plan.fork(i, c.pools[i], s.frozen); err != nil {
			return err
		}
	}
	c.s, c.ctx, c.queries, c.batches, c.results = s, ctx, q, b, r
	c.workers.Run(len(q), c)
	c.s, c.ctx, c.queries, c.batches, c.results = nil, nil, nil, nil, nil
	for _, err := range c.errs[:len(q)] {
		if err != nil {
			return err
		}
	}
	return nil
}

// grow makes room for n replicas: as many workers as there are threads, or a share of them for each.
func (c *crowd) grow(threads, n int) {
	if len(c.pools) >= n && c.workers.Threads() == min(threads, n) {
		return
	}
	c.workers = parallel.New(min(threads, n))
	for len(c.pools) < n {
		c.pools = append(c.pools, parallel.New(max(1, threads/n)))
	}
	c.machines, c.errs = make([]*compiled, n), make([]error, n)
}

// Part answers a query.
func (c *crowd) Part(_, i int) {
	at := c.queries[i].At
	d := exec.Draw{Seed: c.s.o.Seed, Replica: uint32(at.Replica), Eval: at.Eval}
	r := &c.results[i]
	r.Loss, c.errs[i] = c.machines[i].gradient(c.ctx, r.Grad, c.queries[i].Point, c.batches[i], d)
}

// forked tells whether there is a machine of replica i.
func (c *compiled) forked(i int) bool { return i < len(c.forks) && c.forks[i] != nil }

// fork returns the machine of replica i, making it the first time. It has c's plan and the same handles, because
// its direct results are asked for in the same order.
func (c *compiled) fork(i int, pool *parallel.Pool, frozen []float32) (*compiled, error) {
	for len(c.forks) <= i {
		c.forks = append(c.forks, nil)
	}
	if c.forks[i] == nil {
		f := *c
		f.forks = nil
		f.vm = c.vm.Plan().New(pool)
		for _, n := range c.derivatives {
			f.vm.Direct(n)
		}
		if err := f.bindFrozen(frozen); err != nil {
			return nil, err
		}
		c.forks[i] = &f
	}
	return c.forks[i], nil
}
