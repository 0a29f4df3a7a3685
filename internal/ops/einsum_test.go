package ops

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestEinsum goes through all combinations of the letters' values. The equations are written without ellipses for it.
func TestEinsum(t *testing.T) {
	for i, c := range []struct {
		equation, plain string
		shapes          [][]int
	}{
		{"ij->ji", "", [][]int{{2, 3}}},
		{"ij->i", "", [][]int{{2, 3}}},
		{"ij", "ij->ij", [][]int{{2, 3}}},
		{"ji", "ji->ij", [][]int{{2, 3}}},
		{"ii->i", "", [][]int{{3, 3}}},
		{"ii", "ii->", [][]int{{3, 3}}},
		{"iji->ij", "", [][]int{{2, 3, 2}}},
		{"i,i->", "", [][]int{{4}, {4}}},
		{"i,j->ij", "", [][]int{{2}, {3}}},
		{"ij,jk", "ij,jk->ik", [][]int{{2, 3}, {3, 2}}},
		{"bij,bjk->bik", "", [][]int{{2, 3, 2}, {2, 2, 3}}},
		{"bhqd,bhkd->bhqk", "", [][]int{{2, 2, 2, 3}, {2, 2, 3, 3}}},
		{"bqhd,bkhd->bhqk", "", [][]int{{2, 2, 2, 3}, {2, 3, 2, 3}}},
		{"ij,kl->jl", "", [][]int{{2, 3}, {2, 2}}},
		{"ij,jk,kl->il", "", [][]int{{2, 3}, {3, 2}, {2, 3}}},
		{"ij,ij,ij->j", "", [][]int{{2, 3}, {2, 3}, {2, 3}}},
		{"a,ab,abc->cb", "", [][]int{{2}, {2, 3}, {2, 3, 2}}},
		{"ab,cd,ac->bd", "", [][]int{{2, 3}, {3, 2}, {2, 3}}},
		{"ab,c,bc,a->", "", [][]int{{2, 3}, {4}, {3, 4}, {2}}},
		{strings.Repeat("a,", manyOperands) + "ab->b", "", append(slices.Repeat([][]int{{2}}, manyOperands), []int{2, 2})},
		{"...ij,...jk->...ik", "pqij,qjk->pqik", [][]int{{2, 3, 2, 2}, {3, 2, 2}}},
		{"...i,i", "pi,i->p", [][]int{{2, 3}, {3}}},
		{"i...->...", "ip->p", [][]int{{2, 3}}},
		{"...,...->...", "p,p->p", [][]int{{3}, {3}}},
		{"B i j , j -> B i", "Bij,j->Bi", [][]int{{2, 2, 3}, {3}}},
	} {
		t.Run(c.equation, func(t *testing.T) {
			var xs []*tensor.Dense
			for k, s := range c.shapes {
				xs = append(xs, randn(uint64(10*i+k), s...))
			}
			build := func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
				return Einsum(c.equation, in...)
			}
			checkGrad(t, build, xs...)
			if c.plain == "" {
				c.plain = c.equation
			}
			left, right, _ := strings.Cut(c.plain, "->")
			var letters []byte
			size := map[byte]int{}
			for k, term := range strings.Split(left, ",") {
				for d := range len(term) {
					if _, ok := size[term[d]]; !ok {
						letters = append(letters, term[d])
					}
					size[term[d]] = c.shapes[k][d]
				}
			}
			var all, out []int
			for _, l := range letters {
				all = append(all, size[l])
			}
			for d := range len(right) {
				out = append(out, size[right[d]])
			}
			want := make([]float64, len0(out))
			positions(all, func(at []int) {
				pick := func(term string) (index []int) {
					for d := range len(term) {
						index = append(index, at[strings.IndexByte(string(letters), term[d])])
					}
					return index
				}
				p := 1.0
				for k, term := range strings.Split(left, ",") {
					p *= xs[k].Data().([]float64)[flatIndex(pick(term), c.shapes[k])]
				}
				want[flatIndex(pick(right), out)] += p
			})
			got, err := forward(t, tensor.Float64, build, xs...)
			if err != nil {
				t.Fatal(err)
			}
			approx(t, "value", got, out, want, 1e-12)
		})
	}
	// Axes of one element broadcast.
	one, three := randn(1, 1, 2), randn(2, 3, 2)
	got, err := forward(t, tensor.Float64, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return Einsum("...i,...i->...i", in...)
	}, one, three)
	if err != nil {
		t.Fatal(err)
	}
	var want []float64
	for k, v := range three.Data().([]float64) {
		want = append(want, v*one.Data().([]float64)[k%2])
	}
	approx(t, "broadcast", got, []int{3, 2}, want, 1e-15)
}

// Operands that have nothing in common are not joined before the one that connects them, which would make a tensor of 20^4 elements.
func TestEinsumIntermediates(t *testing.T) {
	g := gorgonia.NewGraph()
	var in []*gorgonia.Node
	for i := range 3 {
		in = append(in, newInput(g, tensor.Float64, fmt.Sprint("in", i), []int{20, 20}))
	}
	if _, err := Einsum("ab,cd,ac->bd", in...); err != nil {
		t.Fatal(err)
	}
	for _, n := range g.AllNodes() {
		if n.Shape().TotalSize() > 400 {
			t.Errorf("%v has shape %v", n, n.Shape())
		}
	}
}

func TestEinsumErrors(t *testing.T) {
	for _, equation := range []string{"", "ij", "ij,jk,kl->il", "ij,jk->ii", "ij,jk->iz", "ijk,jk->i", "i-,jk", "ij,jk->ik->", "...ij...,jk", "ij,ki->jk"} {
		g := gorgonia.NewGraph()
		a, b := newInput(g, tensor.Float64, "a", []int{2, 3}), newInput(g, tensor.Float64, "b", []int{3, 4})
		if y, err := Einsum(equation, a, b); err == nil {
			t.Errorf("%q: shape %v, no error", equation, y.Shape())
		} else if !strings.Contains(err.Error(), fmt.Sprintf("%q", equation)) {
			t.Errorf("%q: %v", equation, err)
		}
	}
}
