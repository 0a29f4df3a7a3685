package ops

// A Ranger is an Op whose last phase computes each element of the output from the elements of the same index of
// some operands. The machine runs a chain of them range by range, while a range is in a cache, and gets the
// same bits.
type Ranger interface {
	Op
	// Ranged lists those operands. The other ones are read whole, and they alone by the phases before the last.
	Ranged() []int
	// Range computes the elements [from, to) of out, as the last phase does.
	Range(env *Env, from, to int, out *Buf, in []*Buf) error
}

// A Reader is an Op whose first phase reads certain ranges of some operands in each part, every element in one
// part. It can be the end of a chain.
type Reader interface {
	Op
	// Ranged lists those operands.
	Ranged() []int
	// Reads returns the ranges of a part.
	Reads(part int) Ranges
}

// Ranges are Count ranges of Len elements; the first starts at From, each other one Step after the one before.
type Ranges struct{ From, Len, Step, Count int }

func (o *unary) Ranged() []int     { return []int{0} }
func (o *unaryGrad) Ranged() []int { return []int{0, 1} }
func (o *binary) Ranged() []int    { return o.InPlace() }
func (o *stockAdd) Ranged() []int  { return []int{0, 1} }
func (o *dropout) Ranged() []int   { return []int{0} }
func (o *normalise) Ranged() []int { return []int{0} }
func (o *normGrad) Ranged() []int  { return []int{0, 5} }

func (o *batchStats) Ranged() []int     { return []int{0} }
func (o *normParamsGrad) Ranged() []int { return []int{0, 3} }
func (o *convGradB) Ranged() []int      { return []int{0} }

func (o *batchStats) Reads(part int) Ranges     { return o.reads(part) }
func (o *normParamsGrad) Reads(part int) Ranges { return o.reads(part) }
func (o *convGradB) Reads(part int) Ranges      { return o.reads(part) }

// reads returns the elements of the slice and the block of a part.
func (d channels) reads(part int) Ranges {
	_, n0, n1, c0, c1 := d.part(part)
	return Ranges{From: (n0*d.c + c0) * d.s, Len: (c1 - c0) * d.s, Step: d.c * d.s, Count: n1 - n0}
}
