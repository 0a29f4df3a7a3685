package ops

import (
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// of3 makes a builder from an operator of three operands.
func of3(f func(a, b, c *gorgonia.Node) (*gorgonia.Node, error)) builder {
	return func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return f(in[0], in[1], in[2])
	}
}

// negate makes every other index count from the end.
func negate(index *tensor.Dense, n int) *tensor.Dense {
	for k, v := range index.Int64s() {
		if k%2 == 1 {
			index.Int64s()[k] = v - int64(n)
		}
	}
	return index
}

func TestGatherElements(t *testing.T) {
	for _, c := range []struct {
		shape, index []int
		axis         int
	}{
		{[]int{5}, []int{7}, 0},
		{[]int{3, 4}, []int{2, 4}, 0},
		{[]int{3, 4}, []int{3, 6}, 1},
		{[]int{2, 3, 5}, []int{2, 4, 3}, 1},
	} {
		index := negate(labels(2, c.shape[c.axis], c.index...), c.shape[c.axis])
		x := randn(3, c.shape...)
		build := of2(func(x, i *gorgonia.Node) (*gorgonia.Node, error) { return GatherElements(x, i, c.axis) })
		checkGrad(t, build, x, index)
		checkValues(t, build, func(i int) float64 {
			at := coordinates(c.index, i)
			k := int(index.Int64s()[i])
			at[c.axis] = (k + c.shape[c.axis]) % c.shape[c.axis]
			return at64(x, flat(c.shape, at))
		}, x, index)
	}
}

func TestGatherND(t *testing.T) {
	for _, c := range []struct {
		shape, lead []int
		k, batch    int
	}{
		{[]int{4, 3}, []int{5}, 2, 0},
		{[]int{4, 3}, []int{2, 3}, 1, 0},
		{[]int{2, 4, 3, 2}, []int{2, 3}, 1, 1},
		{[]int{2, 2, 4, 3}, []int{2, 2}, 2, 2},
	} {
		var parts []int64
		n := len0(c.lead)
		for i := range n {
			for k := range c.k {
				d := c.shape[c.batch+k]
				parts = append(parts, int64((i*7+k*3)%d-d*(i%2)))
			}
		}
		index := tensor.New(tensor.WithShape(append(slices.Clone(c.lead), c.k)...), tensor.WithBacking(parts))
		x := randn(4, c.shape...)
		build := of2(func(x, i *gorgonia.Node) (*gorgonia.Node, error) { return GatherND(x, i, c.batch) })
		checkGrad(t, build, x, index)
		rest := c.shape[c.batch+c.k:]
		out := append(slices.Clone(c.lead), rest...)
		checkValues(t, build, func(i int) float64 {
			at := coordinates(out, i)
			row := flat(c.lead, at[:len(c.lead)])
			from := slices.Clone(at[:c.batch])
			for k := range c.k {
				d := c.shape[c.batch+k]
				from = append(from, (int(parts[row*c.k+k])+d)%d)
			}
			return at64(x, flat(c.shape, append(from, at[len(c.lead):]...)))
		}, x, index)
	}
}

func TestIndexOutside(t *testing.T) {
	for name, build := range map[string]builder{
		"GatherElements": of2(func(x, i *gorgonia.Node) (*gorgonia.Node, error) { return GatherElements(x, i, 0) }),
		"GatherND":       of2(func(x, i *gorgonia.Node) (*gorgonia.Node, error) { return GatherND(x, i, 0) }),
		"ScatterElements": of2(func(x, i *gorgonia.Node) (*gorgonia.Node, error) {
			return ScatterElements(x, i, x, 0, "none")
		}),
	} {
		for _, v := range []int64{3, -4} {
			_, err := forward(t, tensor.Float32, build, randn(1, 3), tensor.New(tensor.WithShape(3), tensor.WithBacking([]int64{0, v, 1})))
			if name == "GatherND" {
				_, err = forward(t, tensor.Float32, build, randn(1, 3), tensor.New(tensor.WithShape(1, 1), tensor.WithBacking([]int64{v})))
			}
			if err == nil || !strings.Contains(err.Error(), "outside of axis 0") {
				t.Errorf("%s of index %d: %v", name, v, err)
			}
		}
	}
}

// Scattering against a loop over the updates in order, with places that several meet in.
func TestScatter(t *testing.T) {
	combine := map[string]func(a, v float64) float64{
		"none": func(_, v float64) float64 { return v },
		"add":  func(a, v float64) float64 { return a + v },
		"mul":  func(a, v float64) float64 { return a * v },
		"max":  func(a, v float64) float64 { return max(a, v) },
		"min":  func(a, v float64) float64 { return min(a, v) },
	}
	for how, f := range combine {
		t.Run(how, func(t *testing.T) {
			shape, axis := []int{3, 4, 2}, 1
			x, u := distinct(2, shape...), distinct(3, 3, 5, 2)
			index := negate(labels(5, 4, 3, 5, 2), 4)
			if how == "none" { // one update a place: then the derivative exists
				u = distinct(3, 3, 3, 2)
				index = tensor.New(tensor.WithShape(3, 3, 2), tensor.WithBacking([]int64{0, 1, 1, 3, 3, 2, 1, 0, 2, 1, 0, 3, 3, 3, 0, 0, 2, 1}))
			}
			build := of3(func(x, i, u *gorgonia.Node) (*gorgonia.Node, error) { return ScatterElements(x, i, u, axis, how) })
			checkGrad(t, build, x, index, u)
			want := slices.Clone(x.Float64s())
			for k := range u.Size() {
				at := coordinates(u.Shape(), k)
				at[axis] = (int(index.Int64s()[k]) + 4) % 4
				to := flat(shape, at)
				want[to] = f(want[to], at64(u, k))
			}
			checkValues(t, build, func(i int) float64 { return want[i] }, x, index, u)

			// Blocks.
			x, u = distinct(6, 4, 3, 2), distinct(7, 3, 2)
			index = tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]int64{3, 1, 0, -1, 1, 0}))
			if how != "none" {
				index.Int64s()[4], index.Int64s()[5] = 3, -2
			}
			build = of3(func(x, i, u *gorgonia.Node) (*gorgonia.Node, error) { return ScatterND(x, i, u, how) })
			checkGrad(t, build, x, index, u)
			want = slices.Clone(x.Float64s())
			for k := range 3 {
				row := int(index.Int64s()[2*k])*3 + (int(index.Int64s()[2*k+1])+3)%3
				for i := range 2 {
					want[row*2+i] = f(want[row*2+i], at64(u, 2*k+i))
				}
			}
			checkValues(t, build, func(i int) float64 { return want[i] }, x, index, u)
		})
	}
	// More than one part: the sums are the same however the result is cut.
	x, u, index := randn(1, 2000), randn(2, 70000), labels(3, 2000, 70000)
	want := slices.Clone(x.Float64s())
	for k, i := range index.Int64s() {
		want[i] += at64(u, k)
	}
	checkValues(t, of3(func(x, i, u *gorgonia.Node) (*gorgonia.Node, error) { return ScatterElements(x, i, u, 0, "add") }),
		func(i int) float64 { return want[i] }, x, index, u)
}

func TestReverseSequence(t *testing.T) {
	lengths := tensor.New(tensor.WithShape(3), tensor.WithBacking([]int64{4, 0, 2}))
	x := randn(1, 4, 3, 2)
	build := of2(func(x, l *gorgonia.Node) (*gorgonia.Node, error) { return ReverseSequence(x, l, 0, 1) })
	checkGrad(t, build, x, lengths)
	checkValues(t, build, func(i int) float64 {
		at := coordinates([]int{4, 3, 2}, i)
		if n := int(lengths.Int64s()[at[1]]); at[0] < n {
			at[0] = n - 1 - at[0]
		}
		return at64(x, flat([]int{4, 3, 2}, at))
	}, x, lengths)
	x = randn(1, 3, 4)
	checkGrad(t, of2(func(x, l *gorgonia.Node) (*gorgonia.Node, error) { return ReverseSequence(x, l, 1, 0) }), x, lengths)
}

func TestCumulate(t *testing.T) {
	for _, c := range []struct {
		name  string
		make  func(x *gorgonia.Node, axis int, exclusive, reverse bool) (*gorgonia.Node, error)
		start float64
		f     func(a, v float64) float64
	}{
		{"CumSum", CumSum, 0, func(a, v float64) float64 { return a + v }},
		{"CumProd", CumProd, 1, func(a, v float64) float64 { return a * v }},
	} {
		for mode := range 4 {
			exclusive, reverse := mode&1 != 0, mode&2 != 0
			for axis := range 3 {
				shape := []int{2, 4, 3}
				x := distinct(4, shape...)
				x.Float64s()[5] = 0
				build := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return c.make(x, axis, exclusive, reverse) })
				checkGrad(t, build, x)
				checkValues(t, build, func(i int) float64 {
					at := coordinates(shape, i)
					acc, here := c.start, at[axis]
					for k := range shape[axis] {
						before := k < here || k == here && !exclusive
						if reverse {
							before = k > here || k == here && !exclusive
						}
						if at[axis] = k; before {
							acc = c.f(acc, at64(x, flat(shape, at)))
						}
					}
					return acc
				}, x)
			}
		}
	}
}

func TestTrilu(t *testing.T) {
	for _, shape := range [][]int{{3, 5}, {2, 5, 3}, {4, 1}} {
		rows, cols := shape[len(shape)-2], shape[len(shape)-1]
		for k := -rows - 1; k <= cols+1; k++ {
			for _, upper := range []bool{true, false} {
				x := randn(2, shape...)
				build := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Trilu(x, k, upper) })
				checkGrad(t, build, x)
				checkValues(t, build, func(i int) float64 {
					r, c := i/cols%rows, i%cols
					if upper && c >= r+k || !upper && c <= r+k {
						return at64(x, i)
					}
					return 0
				}, x)
			}
		}
	}
}

func TestArgAndTopK(t *testing.T) {
	x := tensor.New(tensor.WithShape(2, 4), tensor.WithBacking([]float64{3, 7, 7, 1, 2, 2, 2, 2}))
	for _, c := range []struct {
		largest, last bool
		want          []int64
	}{{true, false, []int64{1, 0}}, {true, true, []int64{2, 3}}, {false, false, []int64{3, 0}}, {false, true, []int64{3, 3}}} {
		got, err := forward(t, tensor.Float32, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Arg(x, 1, false, c.largest, c.last) }), x)
		if err != nil || !slices.Equal(got.I64, c.want) || len(got.Shape) != 1 {
			t.Errorf("%+v: %v %v", c, got, err)
		}
	}
	shape := []int{2, 5, 3}
	y := distinct(8, shape...)
	for _, largest := range []bool{true, false} {
		build := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) {
			i, err := TopKIndex(x, 3, 1, largest)
			if err != nil {
				return nil, err
			}
			return GatherElements(x, i, 1)
		})
		checkGrad(t, build, y)
		checkValues(t, build, func(i int) float64 {
			at := coordinates([]int{2, 3, 3}, i)
			var line []float64
			for k := range 5 {
				line = append(line, at64(y, flat(shape, []int{at[0], k, at[2]})))
			}
			slices.Sort(line)
			if largest {
				slices.Reverse(line)
			}
			return line[at[1]]
		}, y)
	}
	got, err := forward(t, tensor.Float64, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return TopKIndex(x, 4, 1, true) }), x)
	if err != nil || !slices.Equal(got.I64, []int64{1, 2, 0, 3, 0, 1, 2, 3}) {
		t.Errorf("equal elements in another order: %v %v", got, err)
	}
}

func TestOneHotMask(t *testing.T) {
	index := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]int64{0, -1, 3, -4}))
	got, err := forward(t, tensor.Float32, of1(func(i *gorgonia.Node) (*gorgonia.Node, error) { return OneHotMask(i, 3, 1) }), index)
	// Rows (0, -1) and (3, -4): the second names nothing.
	if err != nil || !slices.Equal(got.I64, []int64{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("%v %v", got, err)
	}
}
