package runner

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/exec"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// fits finds out whether machines of a plan for net may be made besides those that there are: whether all stays within
// Options.MaxMemory of the net.
func (s *Step) fits(net *onnxload.Net, plan *exec.Plan, machines int) error {
	have := net.Memory() + 4*int64(s.vectors+2)*int64(net.NumWeights()+net.NumRunning()) + 4*int64(net.NumFrozen())
	for _, c := range s.plans {
		each, _, _ := c.vm.Plan().Memory(s.pool.Threads())
		have += each * int64(1+len(c.forks))
	}
	return fits(net, plan, have, machines, s.pool.Threads())
}

// Reserve makes the machines that Train will need, so that what does not fit is found out at the start: for gradients and running
// statistics of batches like train, and for evaluations of batches like test, unless that is nil.
func (s *Step) Reserve(train, test *Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.compile(forGradient, train); err != nil {
		return err
	}
	if len(s.net.Stats) > 0 {
		if _, err := s.compile(forStatistics, train); err != nil {
			return err
		}
	}
	if test == nil {
		return nil
	}
	_, err := s.compile(forLoss, test)
	return err
}

// fits is Step.fits where so many bytes are in use.
func fits(net *onnxload.Net, plan *exec.Plan, have int64, machines, threads int) error {
	limit := net.Options().MaxMemory
	each, most, size := plan.Memory(threads)
	need := have + each*int64(machines)
	if need <= limit {
		return nil
	}
	e := &onnxload.MemoryError{What: "the run's intermediate results", Size: each * int64(machines), Need: need, Limit: limit, Remedy: "take a smaller batch"}
	if most != nil && size > each/16 {
		e.What, e.Size = fmt.Sprintf("the result of shape %v of %s", most.Shape(), nameOf(net, most)), size
	}
	return fmt.Errorf("runner: %w", e)
}

// nameOf says which node of the file a node of the graph belongs to.
func nameOf(net *onnxload.Net, n *gorgonia.Node) string {
	if name := net.NodeName(n); name != "" {
		return fmt.Sprintf("node %q", name)
	}
	for it := n.Graph().From(n.ID()); it.Next(); {
		if name := net.NodeName(it.Node().(*gorgonia.Node)); name != "" {
			return fmt.Sprintf("%s after node %q", ops.Name(n), name)
		}
	}
	return ops.Name(n)
}

// Fits finds out whether there is room for the state of a method, within Options.MaxMemory of the net. From then on that
// state counts.
func (s *Step) Fits(m optimizer.Method) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vectors, s.replicas = vectors(m), 1
	if v, ok := m.(interface{ Replicas() int }); ok {
		s.replicas = v.Replicas()
	}
	limit, n := s.net.Options().MaxMemory, int64(s.Dim())
	need := s.net.Memory() + 4*n*int64(s.vectors+2)
	if need <= limit {
		return nil
	}
	return fmt.Errorf("runner: %w", &onnxload.MemoryError{What: fmt.Sprintf("the optimizer's state, %d vectors of %d weights,", s.vectors, n),
		Size: 4 * n * int64(s.vectors), Need: need, Limit: limit, Remedy: "take an optimizer with less state, such as sgd"})
}

// vectors is the number of vectors of weights that a method holds, with the gradients that it asks for at once.
func vectors(m optimizer.Method) int {
	n := 1
	if v, ok := m.(interface{ Replicas() int }); ok {
		n = max(n, v.Replicas())
	}
	for s := m.Init(make([]float32, 1), []optimizer.Group{{To: 1, LRScale: 1}}); s != nil; s = s.Inner {
		for _, v := range s.Vecs {
			n += len(v)
		}
	}
	return n
}
