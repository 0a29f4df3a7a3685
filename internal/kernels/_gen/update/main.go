// Command update writes the AVX2 and AVX-512 kernels of the optimizers' updates. Run it by `go generate` in
// internal/kernels.
//
// Every kernel does the operations of the Go loop in its order, without fused multiply-add, so that both give
// the same bits.
package main

import (
	"strings"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/onnx-entropy/onnx-entropy/internal/rng/_gen/vector"
)

type vec = reg.VecVirtual

func main() {
	ConstraintExpr("!noasm")
	for _, level := range []string{"AVX2", "AVX512"} {
		vector.Wide = level == "AVX512"
		inner(level, false)
		inner(level, true)
		outer(level, false)
		outer(level, true)
		for _, kind := range []string{"", "Momentum", "Nesterov"} {
			sgd(level, kind)
		}
		adam(level)
		parle(level)
	}
	squares()
	vector.Constants()
	Generate()
}

// Places of the coefficients in InnerStep.
const (
	lr = iota
	gamma
	momentum
	decay
	alpha
	keep
	amplitude
)

// inner writes EntropyInner, over vectors or, with noise, over runs of the generator.
func inner(level string, noise bool) {
	name, doc, tail := "inner"+level, " is EntropyInner without noise for n vectors; n is at least 1. c points to the numbers of an InnerStep.", ""
	if noise {
		name, doc = "innerNoise"+level, " is EntropyInner for n runs of normal numbers from number 4*block on; n is at least 1."
		tail = ", schedule *[19]uint32, block uint32"
	}
	begin(name, doc, "p, mu, v, x, grad", "n int, c *float32"+tail)
	s := streams("p", "mu", "v", "x", "grad")
	n := Load(Param("n"), GP64())
	c := Load(Param("c"), GP64())
	// With a generator, AVX2 has no registers left to keep coefficients in.
	k := func(i int) vec { return broadcast(operand.Mem{Base: c, Disp: 4 * i}) }
	if !noise || vector.Wide {
		var kept [7]vec
		for i := range kept {
			if i != amplitude || noise {
				kept[i] = k(i)
			}
		}
		k = func(i int) vec { return kept[i] }
	}
	var g *vector.Generator
	if noise {
		g = vector.NewGenerator(Load(Param("schedule"), GP64()), Load(Param("block"), GP32()))
	}
	step := func(i int, xi func() vec) {
		at := func(name string) operand.Mem { return operand.Mem{Base: s[name], Disp: i * vector.Bytes()} }
		q := load(at("p"))
		grad := add(load(at("grad")), mul(k(decay), q))
		w := add(mul(k(momentum), load(at("v"))), grad)
		VMOVUPS(w, at("v"))
		pull := mul(k(gamma), sub(load(at("x")), q))
		d := sub(add(grad, mul(k(momentum), w)), pull)
		q = add(sub(q, mul(k(lr), d)), xi())
		VMOVUPS(q, at("p"))
		VMOVUPS(add(mul(k(keep), load(at("mu"))), mul(k(alpha), q)), at("mu"))
	}
	if !noise {
		zero := vector.Vec()
		clearVec(zero)
		loop(n, s, 1, func() { step(0, func() vec { return zero }) })
		return
	}
	// While numbers are made, memory has time to bring what the next ones are for.
	var fetches []operand.Mem
	for line := 0; line < 4*vector.Bytes(); line += 64 {
		for _, name := range []string{"p", "mu", "v", "x", "grad"} {
			fetches = append(fetches, operand.Mem{Base: s[name], Disp: 4*vector.Bytes() + line})
		}
	}
	var xi [4]vec
	noisy := func(i int) func() {
		return func() { step(i, func() vec { return mul(k(amplitude), xi[i]) }) }
	}
	if !vector.Wide {
		loop(n, s, 4, func() {
			for _, at := range fetches {
				PREFETCHT0(at)
			}
			xi = g.Normals()
			for i := range xi {
				noisy(i)()
			}
		})
		return
	}
	// The rounds of the generator are chains of products, one waiting for the other: between those of the next words,
	// the numbers of these words are made and used. The words behind the last ones are made for nothing.
	radius, angle := g.Blocks(nil)
	loop(n, s, 4, func() {
		pieces := append(vector.BoxMuller(radius, angle, &xi), noisy(0), noisy(1), noisy(2), noisy(3))
		r, a := g.Blocks(func(round int) {
			for _, at := range fetches[2*round : 2*round+2] {
				PREFETCHT0(at)
			}
			pieces[round]()
		})
		for i := range 2 {
			VMOVAPS(r[i], radius[i])
			VMOVAPS(a[i], angle[i])
		}
	})
}

func outer(level string, momentum bool) {
	if momentum {
		begin("outerMomentum"+level, " is EntropyOuter with momentum, for n vectors; n is at least 1.", "x, mu, p, inner, v", "n int, lr, momentum float32")
	} else {
		begin("outer"+level, " is EntropyOuter without momentum, for n vectors; n is at least 1.", "x, mu, p, inner", "n int, lr float32")
	}
	names := []string{"x", "mu", "p", "inner"}
	if momentum {
		names = append(names, "v")
	}
	s := streams(names...)
	n := Load(Param("n"), GP64())
	lr, zero := vector.Parameter("lr"), vector.Vec()
	clearVec(zero)
	var m vec
	if momentum {
		m = vector.Parameter("momentum")
	}
	loop(n, s, 1, func() {
		q := load(operand.Mem{Base: s["x"]})
		d := sub(q, load(operand.Mem{Base: s["mu"]}))
		if momentum {
			w := add(mul(m, load(operand.Mem{Base: s["v"]})), d)
			VMOVUPS(w, operand.Mem{Base: s["v"]})
			d = add(d, mul(m, w))
		}
		q = sub(q, mul(lr, d))
		for _, name := range []string{"x", "p", "mu"} {
			VMOVUPS(q, operand.Mem{Base: s[name]})
		}
		VMOVUPS(zero, operand.Mem{Base: s["inner"]})
	})
}

func sgd(level, kind string) {
	name, doc := "sgd"+kind+level, " is SGD with momentum, for n vectors; n is at least 1."
	switch kind {
	case "":
		begin(name, " is SGD without momentum, for n vectors; n is at least 1.", "x, grad", "n int, lr, decay float32")
	case "Nesterov":
		doc = " is SGD with Nesterov's momentum, for n vectors; n is at least 1."
		fallthrough
	default:
		begin(name, doc, "x, v, grad", "n int, lr, decay, momentum float32")
	}
	names := []string{"x", "grad"}
	if kind != "" {
		names = append(names, "v")
	}
	s := streams(names...)
	n := Load(Param("n"), GP64())
	lr, decay := vector.Parameter("lr"), vector.Parameter("decay")
	var m vec
	if kind != "" {
		m = vector.Parameter("momentum")
	}
	loop(n, s, 1, func() {
		x := load(operand.Mem{Base: s["x"]})
		w := add(load(operand.Mem{Base: s["grad"]}), mul(decay, x))
		if kind != "" {
			g := w
			w = add(mul(m, load(operand.Mem{Base: s["v"]})), g)
			VMOVUPS(w, operand.Mem{Base: s["v"]})
			if kind == "Nesterov" {
				w = add(g, mul(m, w))
			}
		}
		VMOVUPS(sub(x, mul(lr, w)), operand.Mem{Base: s["x"]})
	})
}

// begin starts a function of vectors and other parameters.
func begin(name, doc, vectors, others string) {
	TEXT(name, 0, "func("+vectors+" *float32, "+others+")")
	Pragma("noescape")
	Doc(name + doc)
}

// streams loads the pointers of vectors.
func streams(names ...string) map[string]reg.GPVirtual {
	s := map[string]reg.GPVirtual{}
	for _, name := range names {
		s[name] = Load(Param(name), GP64()).(reg.GPVirtual)
	}
	return s
}

// loop repeats the body n times, which takes so many vectors of each stream, and ends the function.
func loop(n reg.Register, s map[string]reg.GPVirtual, vectors int, body func()) {
	Label("again")
	body()
	for _, name := range strings.Fields("p mu m v x grad inner") {
		if base, ok := s[name]; ok {
			ADDQ(operand.U32(vectors*vector.Bytes()), base)
		}
	}
	DECQ(n)
	JNZ(operand.LabelRef("again"))
	VZEROUPPER()
	RET()
}

func broadcast(m operand.Mem) vec {
	v := vector.Vec()
	VBROADCASTSS(m, v)
	return v
}

func load(m operand.Mem) vec {
	v := vector.Vec()
	VMOVUPS(m, v)
	return v
}

func clearVec(v vec) { VXORPS(v, v, v) }

func add(x, y vec) vec { return apply(VADDPS, y, x) }
func sub(x, y vec) vec { return apply(VSUBPS, y, x) }
func mul(x, y vec) vec { return apply(VMULPS, y, x) }

func apply(op func(...operand.Op), y, x vec) vec {
	v := vector.Vec()
	op(y, x, v)
	return v
}
