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

func (o *unary) Ranged() []int     { return []int{0} }
func (o *unaryGrad) Ranged() []int { return []int{0, 1} }
func (o *binary) Ranged() []int    { return o.InPlace() }
func (o *stockAdd) Ranged() []int  { return []int{0, 1} }
func (o *dropout) Ranged() []int   { return []int{0} }
func (o *normalise) Ranged() []int { return []int{0} }
func (o *normGrad) Ranged() []int  { return []int{0, 5} }
