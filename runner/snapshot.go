package runner

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/internal/checkpoint"
	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// A snapshot is a run between two gradients: with what the caller gives Train again, all that its future depends
// on. In its file, section "run" is this struct, "running" are the statistics, "0.vec.0" and so on the vectors of
// the first state, "0.inner.vec.0" those of the state inside it, "sampler" is the sampler's and "extra" the
// caller's.
type snapshot struct {
	Identity  map[string]string // what the run is made of; a run goes on with the same only
	States    []savedState      // the method's; in a run that rolls back also the one to go back to
	Skipped   uint64            // see run
	Retries   int
	Rollbacks int // see Report
	Sum       bits
	Count     uint64
	Evaluated uint64
	Loss      bits
	Test      *testBits
	Best      bits
	Carried   [][]savedCarry `json:",omitempty"` // of each of States, the recurrent states of each replica

	running []float32
	sampler []byte
	extra   []byte
}

// savedState is an optimizer.State.
type savedState struct {
	Evals, Outer uint64
	Phase        uint32
	Scalars      []bits
	Groups       []optimizer.Group
	Vecs         int
	Inner        *savedState `json:",omitempty"`

	vecs [][]float32
}

// savedCarry is a carried. Its recurrent states are in sections "0.carry.1.before.2" and so on, of replica 1 with the
// first of States.
type savedCarry struct {
	Valid         bool
	Batch, Window uint64
	Vecs          int // recurrent states

	before, after [][]float32
}

func savedCarried(list []carried) (s []savedCarry) {
	for _, c := range list {
		s = append(s, savedCarry{c.valid, c.batch, c.window, len(c.before), c.before, c.after})
	}
	return s
}

func (c *savedCarry) write(w *checkpoint.Writer, prefix string) {
	for k := range c.before {
		w.Floats(fmt.Sprintf("%s.before.%d", prefix, k), c.before[k])
		w.Floats(fmt.Sprintf("%s.after.%d", prefix, k), c.after[k])
	}
}

func (c *savedCarry) read(f checkpoint.File, prefix string) error {
	if c.Vecs < 0 || c.Vecs > len(f) {
		return fmt.Errorf("%d recurrent states are announced in %d sections", c.Vecs, len(f))
	}
	for k := range c.Vecs {
		before, err := f.Floats(fmt.Sprintf("%s.before.%d", prefix, k))
		if err != nil {
			return err
		}
		after, err := f.Floats(fmt.Sprintf("%s.after.%d", prefix, k))
		if err != nil {
			return err
		}
		c.before, c.after = append(c.before, before), append(c.after, after)
	}
	return nil
}

// restoreCarried makes the recurrent states of the run those that were saved with state k.
func (r *run) restoreCarried(s *snapshot, k int) ([]carried, error) {
	if r.carried == nil {
		return nil, nil
	}
	if len(s.Carried) <= k || len(s.Carried[k]) != len(r.carried) {
		return nil, fmt.Errorf("it lacks the recurrent states of %d replicas", len(r.carried))
	}
	var list []carried
	for _, c := range s.Carried[k] {
		zeros := r.s.zeroStates()
		if c.Valid && len(c.before) != len(zeros) {
			return nil, fmt.Errorf("%d recurrent states for a network of %d", len(c.before), len(zeros))
		}
		for i := range c.before {
			if len(c.before[i]) != len(zeros[i]) || len(c.after[i]) != len(zeros[i]) {
				return nil, fmt.Errorf("recurrent state %q has %d numbers, not %d", r.s.net.States[i].Name, len(c.before[i]), len(zeros[i]))
			}
		}
		list = append(list, carried{c.Valid, c.Batch, c.Window, c.before, c.after})
	}
	return list, nil
}

// bits is a float64 that JSON keeps to the bit, NaN and infinities too.
type bits float64

func (b bits) MarshalJSON() ([]byte, error) { return json.Marshal(math.Float64bits(float64(b))) }

func (b *bits) UnmarshalJSON(data []byte) error {
	var u uint64
	err := json.Unmarshal(data, &u)
	*b = bits(math.Float64frombits(u))
	return err
}

type testBits struct {
	Loss, Error bits
	Count       int
}

// saved copies no vector: a snapshot is written before the run goes on.
func saved(s *optimizer.State) savedState {
	c := savedState{Evals: s.Evals, Outer: s.Outer, Phase: s.Phase, Groups: s.Groups, Vecs: len(s.Vecs), vecs: s.Vecs}
	for _, v := range s.Scalars {
		c.Scalars = append(c.Scalars, bits(v))
	}
	if s.Inner != nil {
		inner := saved(s.Inner)
		c.Inner = &inner
	}
	return c
}

func (c *savedState) state() *optimizer.State {
	s := &optimizer.State{Evals: c.Evals, Outer: c.Outer, Phase: c.Phase, Groups: c.Groups, Vecs: c.vecs}
	for _, v := range c.Scalars {
		s.Scalars = append(s.Scalars, float64(v))
	}
	if c.Inner != nil {
		s.Inner = c.Inner.state()
	}
	return s
}

// write adds the vectors, under names that begin with prefix.
func (c *savedState) write(w *checkpoint.Writer, prefix string) {
	for i, v := range c.vecs {
		w.Floats(fmt.Sprintf("%s.vec.%d", prefix, i), v)
	}
	if c.Inner != nil {
		c.Inner.write(w, prefix+".inner")
	}
}

// read finds the vectors that write added.
func (c *savedState) read(f checkpoint.File, prefix string) error {
	if c.Vecs < 0 || c.Vecs > len(f) {
		return fmt.Errorf("%d vectors are announced in %d sections", c.Vecs, len(f))
	}
	for i := range c.Vecs {
		v, err := f.Floats(fmt.Sprintf("%s.vec.%d", prefix, i))
		if err != nil {
			return err
		}
		c.vecs = append(c.vecs, v)
	}
	if c.Inner == nil {
		return nil
	}
	return c.Inner.read(f, prefix+".inner")
}

func (r *run) snapshot(rep *Report) (*snapshot, error) {
	s := &snapshot{
		Identity: r.identity, States: []savedState{saved(r.state)}, Skipped: r.skipped, Retries: r.retries, Rollbacks: rep.Rollbacks,
		Sum: bits(r.sum), Count: r.count, Evaluated: r.evaluated, Loss: bits(rep.Loss), Best: bits(r.best),
		running: r.running,
	}
	if r.good != nil {
		s.States = append(s.States, saved(r.good))
	}
	if r.carried != nil {
		s.Carried = append(s.Carried, savedCarried(r.carried))
		if r.good != nil {
			s.Carried = append(s.Carried, savedCarried(r.goodCarried))
		}
	}
	if o, ok := r.sampler.(*dataset.Oddball); ok {
		s.sampler = o.State()
	}
	if rep.Test != nil {
		s.Test = &testBits{bits(rep.Test.Loss), bits(rep.Test.Error), rep.Test.Count}
	}
	var err error
	if save := r.cfg.Checkpoints.Extra; save != nil {
		s.extra, err = save()
	}
	return s, err
}

func (s *snapshot) write(w io.Writer) error {
	c := checkpoint.NewWriter(w)
	c.JSON("run", s)
	c.Floats("running", s.running)
	for k, state := range s.States {
		state.write(c, fmt.Sprint(k))
	}
	for k, list := range s.Carried {
		for a := range list {
			list[a].write(c, fmt.Sprintf("%d.carry.%d", k, a))
		}
	}
	c.Bytes("sampler", s.sampler)
	c.Bytes("extra", s.extra)
	return c.Close()
}

func readSnapshot(r io.Reader, size int64) (*snapshot, error) {
	f, err := checkpoint.Read(r, size)
	if err != nil {
		return nil, err
	}
	s := new(snapshot)
	if err := f.JSON("run", s); err != nil {
		return nil, err
	}
	if s.running, err = f.Floats("running"); err != nil {
		return nil, err
	}
	if len(s.States) == 0 {
		return nil, fmt.Errorf("it holds no state of an optimizer")
	}
	for k := range s.States {
		if err := s.States[k].read(f, fmt.Sprint(k)); err != nil {
			return nil, err
		}
	}
	for k, list := range s.Carried {
		for a := range list {
			if err := list[a].read(f, fmt.Sprintf("%d.carry.%d", k, a)); err != nil {
				return nil, err
			}
		}
	}
	s.sampler, s.extra = f["sampler"], f["extra"]
	return s, nil
}

// restore makes the run that of the snapshot.
func (r *run) restore(s *snapshot, rep *Report) error {
	if err := sameIdentity(s.Identity, r.identity); err != nil {
		return err
	}
	var states []*optimizer.State
	for k := range s.States {
		state := s.States[k].state()
		if m, ok := r.m.(optimizer.Settled); ok {
			if err := m.CheckState(state, r.s.Dim()); err != nil {
				return err
			}
		}
		states = append(states, state)
	}
	if len(s.running) != r.s.net.NumRunning() {
		return fmt.Errorf("%d running statistics for a network of %d", len(s.running), r.s.net.NumRunning())
	}
	if o, ok := r.sampler.(*dataset.Oddball); ok {
		if err := o.Restore(s.sampler); err != nil {
			return err
		}
	}
	carried, err := r.restoreCarried(s, 0)
	if err != nil {
		return err
	}
	if restore := r.cfg.Checkpoints.Restore; restore != nil {
		if err := restore(s.extra); err != nil {
			return err
		}
	}
	r.state, r.running, r.carried = states[0], s.running, carried
	if len(states) > 1 {
		if r.goodCarried, err = r.restoreCarried(s, 1); err != nil {
			return err
		}
		r.good = states[1]
	}
	r.skipped, r.retries, rep.Rollbacks = s.Skipped, s.Retries, s.Rollbacks
	r.sum, r.count, r.evaluated, r.best = float64(s.Sum), s.Count, s.Evaluated, float64(s.Best)
	rep.Loss = float64(s.Loss)
	if t := s.Test; t != nil {
		rep.Test = &Metrics{float64(t.Loss), float64(t.Error), t.Count}
	}
	return nil
}

// identify describes what a run is made of, as far as Train sees it; the caller's Identity adds the rest. The
// number of threads is no part of it.
func (r *run) identify(x []float32) (map[string]string, error) {
	method, err := settingsOf(r.m)
	if err != nil {
		return nil, err
	}
	c := r.cfg
	id := map[string]string{
		"method":   fmt.Sprintf("%T %s", r.m, method),
		"layout":   digest(layout(r.s.net)),
		"start":    digestFloats(x, r.running),
		"batch":    fmt.Sprint(c.Batch),
		"budget":   fmt.Sprintf("%d gradients, %d outer steps", c.Evals, c.MaxOuter),
		"seed":     fmt.Sprint(c.Seed),
		"sampling": fmt.Sprintf("%v, floor %v, weights %v, in order %v", c.Sampling, c.OddballFloor, c.OddballWeights, c.InOrder),
		"samples":  fmt.Sprint(r.src.Len()),
		"dropout":  fmt.Sprintf("seed %d, ratio %s", r.s.o.Seed, ratioOf(r.s.o.Dropout)),
		"evaluate": fmt.Sprintf("every %d, statistics of %d, kept %v", c.EvalEvery, c.StatisticsSamples, c.KeepStatistics),
		"on NaN":   c.OnNaN.String(),
	}
	if c.DecayAll {
		id["weight decay"] = "of biases and normalisation too"
	}
	if n := len(r.s.net.Frozen); n > 0 {
		names := ""
		for _, p := range r.s.net.Frozen {
			names += fmt.Sprintf("%q %v\n", p.Name, p.Shape)
		}
		id["frozen set"] = fmt.Sprintf("%d tensors, %s", n, digest(names+digestFloats(r.s.frozen)))
	}
	if after := r.s.net.Options().DropoutAfter; len(after) > 0 {
		id["inserted dropout"] = fmt.Sprint(after) // in the order of the names
	}
	if r.s.net.Options().FileStatistics {
		id["normalisation"] = "with the file's statistics"
	}
	id[schedules] = digest(schedulesOf(r.m))
	for k, v := range c.Checkpoints.Identity {
		if _, taken := id[k]; taken {
			return nil, fmt.Errorf("runner: Checkpoints.Identity has %q, which Train fills in itself", k)
		}
		id[k] = v
	}
	return id, nil
}

// schedules is what identities call the functions among a method's settings.
const schedules = "schedule"

// schedulesOf is what the functions among the settings of m give at many places; empty if all are those that
// nil stands for. JSON cannot hold them.
func schedulesOf(m optimizer.Method) string {
	var s strings.Builder
	for _, of := range optimizer.Chain(m) {
		v := reflect.Indirect(reflect.ValueOf(of))
		if v.Kind() != reflect.Struct {
			continue
		}
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue
			}
			switch f := v.Field(i).Interface().(type) {
			case optimizer.Schedule:
				for k := 0; f != nil && k <= 1000; k++ {
					fmt.Fprintln(&s, f(1, float64(k)/1000))
				}
			case optimizer.Scope:
				for t := uint64(1); f != nil && t < 1<<20; t += t/8 + 1 {
					fmt.Fprintln(&s, f(1e-4, 1e-3, t))
				}
			}
		}
	}
	return s.String()
}

func ratioOf(p *float64) string {
	if p == nil {
		return "of the model"
	}
	return fmt.Sprint(*p)
}

// settingsOf is the method's settings as JSON without the numbers of threads.
func settingsOf(m optimizer.Method) (string, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("runner: the settings of %T cannot be written down: %w", m, err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return "", err
	}
	dropThreads(v)
	b, err = json.Marshal(v)
	return string(b), err
}

func dropThreads(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "Threads")
		for _, e := range v {
			dropThreads(e)
		}
	case []any:
		for _, e := range v {
			dropThreads(e)
		}
	}
}

// layout lists the tensors of the two flat vectors.
func layout(net *onnxload.Net) string {
	s := ""
	for _, p := range net.Params {
		s += fmt.Sprintf("%q %v %d\n", p.Name, p.Shape, p.From)
	}
	for _, b := range net.Buffers {
		s += fmt.Sprintf("running %q %v %d\n", b.Name, b.Shape, b.From)
	}
	return s
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func digestFloats(xs ...[]float32) string {
	h := sha256.New()
	for _, x := range xs {
		c := checkpoint.NewWriter(h)
		c.Floats("x", x)
		c.Close()
	}
	return hex.EncodeToString(h.Sum(nil))
}

// A MismatchError tells that a checkpoint belongs to another run.
type MismatchError struct {
	What, Saved, Given string   // of the first difference
	Also               []string // what else is different
}

func (e *MismatchError) Error() string {
	also := ""
	if len(e.Also) > 0 {
		also = "; different are also " + strings.Join(e.Also, ", ")
	}
	return fmt.Sprintf("the checkpoint was made with another %s: %s, not %s%s", e.What, e.Saved, e.Given, also)
}

func sameIdentity(saved, given map[string]string) error {
	all := maps.Clone(saved)
	maps.Copy(all, given)
	var found *MismatchError
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if _, known := saved[k]; k == schedules && !known {
			continue // checkpoints once said nothing of schedules
		}
		switch a, b := saved[k], given[k]; {
		case a == b:
		case found == nil:
			found = &MismatchError{What: k, Saved: cmp.Or(a, "none"), Given: cmp.Or(b, "none")}
		default:
			found.Also = append(found.Also, k)
		}
	}
	if found == nil {
		return nil
	}
	return found
}
