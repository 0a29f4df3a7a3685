package main

import (
	"reflect"
	"slices"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// bases are the optimizers that stand alone.
var bases = map[string]func() optimizer.Settled{
	"entropy-sgd":  func() optimizer.Settled { return optimizer.DefaultEntropySGD() },
	"entropy-adam": func() optimizer.Settled { return optimizer.DefaultEntropyAdam() },
	"entropy-sgld": func() optimizer.Settled { return optimizer.DefaultEntropySGLD() },
	"sgd":          func() optimizer.Settled { return optimizer.DefaultSGD() },
	"adam":         func() optimizer.Settled { return optimizer.DefaultAdam() },
	"adamw":        func() optimizer.Settled { return optimizer.DefaultAdamW() },
	"parle":        func() optimizer.Settled { return optimizer.DefaultParle() },
	"elastic-sgd":  func() optimizer.Settled { return optimizer.DefaultElasticSGD() },
}

// wrappers go around another one, from the outermost in.
var wrappers = []string{"swa", "lookahead", "sam"}

// parseOptimizer splits NAME of --optimizer: swa+lookahead+sam+BASE, any of the first three left out. Without a
// base it is sgd.
func parseOptimizer(name string) (around []string, base string, err error) {
	base = "sgd"
	next := 0 // wrappers from here on may follow
	parts := strings.Split(name, "+")
	for i, p := range parts {
		if w := slices.Index(wrappers, p); w >= 0 {
			if w < next {
				return nil, "", usagef("--optimizer %s: the order is %s, each at most once", name, strings.Join(wrappers, "+"))
			}
			next = w + 1
			around = append(around, p)
			continue
		}
		if bases[p] == nil || i != len(parts)-1 {
			return nil, "", usagef("--optimizer %s: %q is none of entropy-sgd, entropy-adam, entropy-sgld, sgd, adam, adamw, parle, elastic-sgd, in front of which swa, lookahead and sam may stand with a +", name, p)
		}
		base = p
	}
	return around, base, nil
}

// build makes the optimizer for a run of total gradients, before they are rounded up to whole outer steps.
func (f *methodFlags) build(total, seed uint64, threads int) (optimizer.Settled, error) {
	around, name, err := parseOptimizer(f.Optimizer)
	if err != nil {
		return nil, err
	}
	base := bases[name]()
	if err := f.special(base, name); err != nil {
		return nil, err
	}
	m, cost := f.wrap(base, around)
	if err := f.apply(m); err != nil {
		return nil, err
	}
	if err := f.adjust(base, name); err != nil {
		return nil, err
	}
	schedule, err := f.schedule()
	if err != nil {
		return nil, err
	}
	total = optimizer.RoundBudget(m, total)
	if f.DecayAll && chain(base)[0].FieldByName("WeightDecay").Float() == 0 {
		return nil, usagef("--decay-all has no effect with --weight-decay 0")
	}
	for _, v := range chain(m) {
		set(v, "Seed", seed)
		set(v, "Threads", threads)
		set(v, "Schedule", schedule)
		set(v, "Statistics", true)
		set(v, "Total", total)
	}
	set(reflect.ValueOf(base).Elem(), "Total", total/cost) // of its own gradients
	if err := m.Validate(); err != nil {
		return nil, &usageError{err: flagNames(err)}
	}
	return m, nil
}

// wrap puts base into what is asked for. The gradients are averaged first and clipped last. cost is the number
// of gradients that a gradient of base takes.
func (f *methodFlags) wrap(base optimizer.Settled, around []string) (m optimizer.Settled, cost uint64) {
	m, cost = base, 1
	if f.ClipNorm != nil || f.ClipValue != nil {
		m = &optimizer.Clip{Base: m}
	}
	if slices.Contains(around, "sam") {
		m, cost = optimizer.DefaultSAM(m), 2
	}
	if f.Accumulate != nil {
		m, cost = &optimizer.Accumulate{Base: m}, cost*uint64(max(1, *f.Accumulate))
	}
	if slices.Contains(around, "lookahead") {
		m = optimizer.DefaultLookahead(m)
	}
	if slices.Contains(around, "swa") {
		m = optimizer.DefaultSWA(m)
	}
	return m, cost
}

// chain lists a method and what it is wrapped around, as structs.
func chain(m optimizer.Settled) (all []reflect.Value) {
	for _, v := range optimizer.Chain(m) {
		all = append(all, reflect.ValueOf(v).Elem())
	}
	return all
}

// set sets a field if there is one.
func set(v reflect.Value, field string, to any) {
	if f := v.FieldByName(field); f.IsValid() {
		f.Set(reflect.ValueOf(to))
	}
}

// schedule is that of the rate.
func (f *methodFlags) schedule() (optimizer.Schedule, error) {
	s, err := optimizer.ParseSchedule(f.LRSchedule)
	if err != nil {
		return nil, &usageError{err: err}
	}
	if f.WarmUp == nil || *f.WarmUp == 0 {
		return s, nil
	}
	if !(*f.WarmUp > 0 && *f.WarmUp < 1) {
		return nil, usagef("--warm-up is %v; it must be at least 0 and below 1", *f.WarmUp)
	}
	return optimizer.WarmUp(*f.WarmUp, s), nil
}

// special does what flags that choose between forms ask for, before the others are applied, which win over the
// changes of defaults made here.
func (f *methodFlags) special(base optimizer.Settled, name string) error {
	none := func(flag string) error { return usagef("%s has no effect with --optimizer %s", flag, f.Optimizer) }
	m, entropy := base.(*optimizer.EntropySGD)
	replicas, parle := base.(*optimizer.Parle)
	switch {
	case f.PlainMomentum && name != "sgd":
		return none("--plain-momentum")
	case f.AdamLoops != "" && name != "entropy-adam":
		return none("--adam-loops")
	case f.ScopingForm != "" && !entropy && !parle, f.ScopingForm != "" && f.ScopingForm != "bounded" && parle:
		return none("--scoping-form " + f.ScopingForm)
	case f.GammaMax != nil && entropy && f.ScopingForm != "bounded":
		return usagef("--gamma-max has no effect without --scoping-form bounded")
	}
	if parle && f.Replicas != nil && *f.Replicas == 1 {
		replicas.Rho = 0 // nothing to be pulled to
	}
	if !entropy {
		return nil
	}
	if f.AutoGamma {
		m.Gamma = 0
	}
	if f.Compat == "torch" {
		m.Scoping = 0
	}
	if m.OuterAdam && f.AdamLoops != "" {
		m.OuterAdam, m.InnerAdam = f.AdamLoops != "inner", f.AdamLoops != "outer"
		if m.InnerAdam {
			m.Momentum, m.InnerLR = 0, 1e-3
		}
		if !m.OuterAdam {
			m.LR = 1
		}
	}
	return nil
}

// adjust does what depends on the values of flags.
func (f *methodFlags) adjust(base optimizer.Settled, name string) error {
	switch m := base.(type) {
	case *optimizer.SGD:
		m.Nesterov = m.Momentum != 0 && !f.PlainMomentum
		if f.PlainMomentum && m.Momentum == 0 {
			return usagef("--plain-momentum has no effect with --momentum 0")
		}
	case *optimizer.Adam:
		if m.Decoupled && m.WeightDecay == 0 {
			return usagef("--weight-decay 0 leaves nothing of adamw but adam; use --optimizer adam")
		}
	case *optimizer.EntropySGD:
		return f.scope(m)
	}
	return nil
}

// scope sets how gamma grows.
func (f *methodFlags) scope(m *optimizer.EntropySGD) error {
	if m.Gamma == 0 && !m.AutoGamma && (f.Scoping != nil && m.Scoping != 0 || f.ScopingForm != "") {
		flag := "--scoping"
		if f.ScopingForm != "" {
			flag = "--scoping-form"
		}
		return usagef("%s has no effect with --gamma 0, which has nothing to grow", flag)
	}
	if m.Scoping == 0 && f.ScopingForm != "" {
		return usagef("--scoping-form has no effect with --scoping 0, with which gamma stays as it is")
	}
	switch f.ScopingForm {
	case "linear":
		m.Scope = optimizer.LinearScope
	case "bounded":
		limit := 1.0
		if f.GammaMax != nil {
			limit = *f.GammaMax
		}
		if !(limit >= m.Gamma) || limit > 1e30 {
			return usagef("--gamma-max is %v; it must be at least gamma, %v", limit, m.Gamma)
		}
		m.Scope = optimizer.Bounded(limit)
	}
	return nil
}
