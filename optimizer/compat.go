package optimizer

// Compat names whose conventions Entropy-SGD follows: the paper's, or one of the two programs that its authors
// published. They differ in
//
//	                                Paper            Lua                  Torch
//	gradient at x before the loop   no               taken, not used      taken, not used
//	mu                              (1-a) mu + a x'  a mu + (1-a) x'      a mu + (1-a) x'
//	noise of an inner step          sqrt(eta') eps   sqrt(2 eta') eps     sqrt(2 eta') eps
//	weight decay                    DecayPlace       DecayLate            DecayBoth
//	outer momentum V at the start   0                has none             the gradient at x
//	gamma in outer step t = 0, ...  gamma0 (1+g)^t   gamma0 (1+g)^(t+1)   gamma0
//
// where a is Alpha and g Scoping. In all three the inner momentum is 0 at the start of an outer step, the pull
// to x and the noise are outside of it, and the outer step is by x - mu without the factor gamma, which the
// paper's algorithm 1 has; see OuterGamma. An outer step of the programs costs L+1 gradients. The programs let decay act on
// biases and normalisation too; that is for the groups given to Init to say.
type Compat string

// The values of Compat.
const (
	Paper Compat = "" // the default
	Lua   Compat = "lua"
	Torch Compat = "torch"
)

// DecayPlace says where weight decay acts.
type DecayPlace string

// The values of DecayPlace.
const (
	DecayInner DecayPlace = ""      // the default: added to the gradient, before momentum or Adam
	DecayLate  DecayPlace = "late"  // added to the inner step, after momentum or Adam
	DecayOuter DecayPlace = "outer" // added to x - mu in the outer step, before momentum or Adam
	DecayBoth  DecayPlace = "both"  // as DecayInner and as DecayOuter
)

// conventions are what a Compat stands for.
type conventions struct {
	lead     uint32  // gradients at x before the loop
	old      bool    // Alpha is the weight of the old mu
	variance float64 // of an inner step's noise, over eta' eps^2
	decay    DecayPlace
	seeded   bool   // V starts as the first gradient
	power    uint64 // of 1+g in the first outer step
	fixed    bool   // gamma does not grow
}

func (m *EntropySGD) conventions() conventions {
	switch m.Compat {
	case Lua:
		return conventions{lead: 1, old: true, variance: 2, decay: DecayLate, power: 1}
	case Torch:
		return conventions{lead: 1, old: true, variance: 2, decay: DecayBoth, seeded: true, fixed: true}
	}
	return conventions{variance: 1, decay: m.DecayPlace}
}

// validateCompat names settings that the conventions leave without effect, or do not have.
func (m *EntropySGD) validateCompat(s *settings) {
	switch m.Compat {
	case Paper:
	case Lua, Torch:
		if m.DecayPlace != "" {
			s.add("DecayPlace is %q, but Compat %q has a place of its own; unset one", m.DecayPlace, m.Compat)
		}
		if m.OuterGamma {
			s.add("OuterGamma is set, but Compat %q has no such step; unset one", m.Compat)
		}
	default:
		s.add("Compat is %q; it must be empty, %q or %q", m.Compat, Lua, Torch)
	}
	switch m.DecayPlace {
	case DecayInner:
	case DecayLate, DecayOuter, DecayBoth:
		if m.WeightDecay == 0 {
			s.add("DecayPlace has no effect with WeightDecay 0; unset it, or set a decay")
		}
	default:
		s.add("DecayPlace is %q; it must be empty, %q, %q or %q", m.DecayPlace, DecayLate, DecayOuter, DecayBoth)
	}
	if m.Compat == Lua && m.OuterMomentum != 0 {
		s.add("OuterMomentum is %v; it must be 0, because Compat %q has none", m.OuterMomentum, m.Compat)
	}
	if m.Compat == Torch && m.Scoping != 0 {
		s.add("Scoping is %v; it must be 0, because with Compat %q gamma never grows", m.Scoping, m.Compat)
	}
	if m.Compat != Paper && (m.InnerAdam || m.OuterAdam || m.OuterNoise != 0 || m.AutoGamma) {
		s.add("Compat is %q; it must be empty for Adam, noise in the outer step and auto-scoping, which the program lacks", m.Compat)
	}
}
