package ops

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Einsum computes a sum of products by the notation of Einstein, such as "bij,bjk->bik": every operand has a letter for each
// axis, axes of one letter go together, and letters that the result lacks are summed over. Without "->" the result has
// the letters that occur once, in alphabetical order. "..." stands for any axes, which broadcast, aligned at the last.
//
// Operands are joined two by two, each time those that make the smallest tensor, by a batch of matrix products.
func Einsum(equation string, xs ...*gorgonia.Node) (*gorgonia.Node, error) {
	fail := func(err error) error { return fmt.Errorf("ops: Einsum: %q: %w", equation, err) }
	if err := needFloat("Einsum", xs...); err != nil {
		return nil, err
	}
	terms, out, err := parseEinsum(equation, xs)
	if err != nil {
		return nil, fail(err)
	}
	size := map[label]int{}
	for i, x := range xs {
		for d, l := range terms[i] {
			n := x.Shape()[d]
			if old, ok := size[l]; !ok || old == 1 {
				size[l] = n
			} else if n != old && n != 1 {
				return nil, fail(fmt.Errorf("an axis has %d elements in one operand and %d in operand %d", old, n, i))
			}
		}
	}
	parts := make([]labelled, len(xs))
	for i, x := range xs {
		if parts[i], err = newLabelled(x, terms[i], size); err != nil {
			return nil, fail(err)
		}
	}
	for len(parts) > 1 {
		i, j := cheapest(parts, out, size)
		joined, err := join(parts[i], parts[j], neededBy(parts, i, j, out))
		if err != nil {
			return nil, fail(err)
		}
		parts[i] = joined
		parts = slices.Delete(parts, j, j+1)
	}
	y := parts[0]
	if y, err = y.keep(out); err != nil {
		return nil, fail(err)
	}
	if y, err = y.ordered(out); err != nil {
		return nil, fail(err)
	}
	return y.x, nil
}

// A label is a letter, or -1 for the last axis of an ellipsis, -2 for the one before and so on.
type label int

func parseEinsum(equation string, xs []*gorgonia.Node) (terms [][]label, out []label, err error) {
	left, right, explicit := strings.Cut(strings.ReplaceAll(equation, " ", ""), "->")
	fields := strings.Split(left, ",")
	if len(fields) != len(xs) {
		return nil, nil, fmt.Errorf("it has %d terms for %d operands", len(fields), len(xs))
	}
	count, dots := map[label]int{}, 0
	for i, f := range fields {
		rank := len(xs[i].Shape())
		more := rank - len(strings.ReplaceAll(f, "...", ""))
		t, err := labelsOf(f, more)
		if err != nil {
			return nil, nil, err
		}
		if len(t) != rank {
			return nil, nil, fmt.Errorf("term %q for an operand of shape %v", f, xs[i].Shape())
		}
		for _, l := range t {
			count[l]++
		}
		if strings.Contains(f, "...") {
			dots = max(dots, more)
		}
		terms = append(terms, t)
	}
	if !explicit {
		for l, n := range count {
			if l >= 0 && n == 1 {
				right += string(rune(l))
			}
		}
		letters := []byte(right)
		slices.Sort(letters)
		right = "..." + string(letters)
	}
	if out, err = labelsOf(right, dots); err != nil {
		return nil, nil, err
	}
	for i, l := range out {
		if count[l] == 0 || slices.Contains(out[:i], l) {
			return nil, nil, fmt.Errorf("the result has a letter twice, or one that no operand has")
		}
	}
	return terms, out, nil
}

// labelsOf reads a term, in which an ellipsis stands for so many axes.
func labelsOf(term string, dots int) ([]label, error) {
	var t []label
	for i := 0; i < len(term); i++ {
		switch c := term[i]; {
		case strings.HasPrefix(term[i:], "..."):
			for d := dots; d > 0; d-- {
				t = append(t, label(-d))
			}
			i += 2
			if strings.Contains(term[i+1:], "...") {
				return nil, fmt.Errorf("term %q has two ellipses", term)
			}
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			t = append(t, label(c))
		default:
			return nil, fmt.Errorf("%q is no letter", c)
		}
	}
	return t, nil
}

// labelled is a tensor with a different label for each axis.
type labelled struct {
	x      *gorgonia.Node
	labels []label
}

// newLabelled takes the diagonal of axes with one label, and drops axes of one element that broadcast.
func newLabelled(x *gorgonia.Node, labels []label, size map[label]int) (labelled, error) {
	own := strides(x.Shape())
	var dims []dim
	var out tensor.Shape
	var kept []label
	for d, l := range labels {
		n := x.Shape()[d]
		if n == 1 && size[l] > 1 {
			continue
		}
		k := slices.Index(kept, l)
		if k < 0 {
			kept, out, dims = append(kept, l), append(out, n), append(dims, dim{n, own[d], 0})
			continue
		}
		dims[k].a += own[d]
	}
	if len(kept) == len(labels) {
		return labelled{x, kept}, nil
	}
	for d, s := range strides(out) {
		dims[d].b = s
	}
	if out == nil {
		out = tensor.ScalarShape()
	}
	y, err := box("Diagonal", x, out, 0, 0, dims, 0)
	return labelled{y, kept}, err
}

// keep sums over the axes whose label is not among needed.
func (p labelled) keep(needed []label) (labelled, error) {
	var over []int
	var kept []label
	for d, l := range p.labels {
		if slices.Contains(needed, l) {
			kept = append(kept, l)
		} else {
			over = append(over, d)
		}
	}
	if over == nil {
		return p, nil
	}
	x, err := ReduceSum(p.x, over, false)
	return labelled{x, kept}, err
}

// ordered transposes p to the given order of its labels.
func (p labelled) ordered(labels []label) (labelled, error) {
	perm := make([]int, len(labels))
	same := true
	for i, l := range labels {
		perm[i] = slices.Index(p.labels, l)
		same = same && perm[i] == i
	}
	if same {
		return p, nil
	}
	x, err := Transpose(p.x, perm)
	return labelled{x, labels}, err
}

// neededBy returns the labels that the result or a tensor other than i and j has.
func neededBy(parts []labelled, i, j int, out []label) []label {
	needed := slices.Clone(out)
	for k, p := range parts {
		if k != i && k != j {
			needed = append(needed, p.labels...)
		}
	}
	return needed
}

// manyOperands is how many the search for the smallest product is not worth its time for.
const manyOperands = 16

// cheapest returns the two tensors, i before j, whose product has the fewest elements, the first of equal ones; of very many tensors
// the first two.
func cheapest(parts []labelled, out []label, size map[label]int) (i, j int) {
	i, j = 0, 1
	if len(parts) > manyOperands {
		return i, j
	}
	least := math.Inf(1)
	for a := range parts {
		for b := a + 1; b < len(parts); b++ {
			needed := neededBy(parts, a, b, out)
			elements := 1.0
			for k, l := range slices.Concat(parts[a].labels, parts[b].labels) {
				if slices.Contains(needed, l) && (k < len(parts[a].labels) || !slices.Contains(parts[a].labels, l)) {
					elements *= float64(size[l])
				}
			}
			if elements < least {
				least, i, j = elements, a, b
			}
		}
	}
	return i, j
}

// join multiplies a and b and sums over the labels that nobody needs any more.
func join(a, b labelled, needed []label) (labelled, error) {
	a, err := a.keep(slices.Concat(needed, b.labels))
	if err != nil {
		return a, err
	}
	if b, err = b.keep(slices.Concat(needed, a.labels)); err != nil {
		return b, err
	}
	var batch, sum, onlyA, onlyB []label
	for _, l := range a.labels {
		switch {
		case !slices.Contains(b.labels, l):
			onlyA = append(onlyA, l)
		case slices.Contains(needed, l):
			batch = append(batch, l)
		default:
			sum = append(sum, l)
		}
	}
	for _, l := range b.labels {
		if !slices.Contains(a.labels, l) {
			onlyB = append(onlyB, l)
		}
	}
	if a, err = a.ordered(slices.Concat(batch, onlyA, sum)); err != nil {
		return a, err
	}
	if b, err = b.ordered(slices.Concat(batch, sum, onlyB)); err != nil {
		return b, err
	}
	sa, sb := a.x.Shape(), b.x.Shape()
	i, j, k := len(batch), len(batch)+len(onlyA), len(batch)+len(sum)
	x, err := Reshape(a.x, []int{len0(sa[:i]), len0(sa[i:j]), len0(sa[j:])})
	if err != nil {
		return a, err
	}
	y, err := Reshape(b.x, []int{len0(sb[:i]), len0(sb[i:k]), len0(sb[k:])})
	if err != nil {
		return a, err
	}
	if x, err = MatMul(x, y); err != nil {
		return a, err
	}
	x, err = Reshape(x, slices.Concat([]int(sa[:j]), []int(sb[k:])))
	return labelled{x, slices.Concat(batch, onlyA, onlyB)}, err
}
