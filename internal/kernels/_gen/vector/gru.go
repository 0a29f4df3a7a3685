package main

// gru writes the loops of the cell of a GRU and its derivative, with the operations of gru.go in their order.
func gru() {
	oneLess := func(x vec) vec { return sub(load(constant(1)), x) }
	bell := func(x vec) vec { return mul(x, oneLess(x)) }
	kernel("gruCell", "is GRUCell.", "z new before", "", 2, func(x, _ []vec) vec {
		return add(mul(oneLess(x[0]), x[1]), mul(x[0], x[2]))
	})
	kernel("gruUpdateGrad", "sets y = dh*(before-new)*(z*(1-z)).", "dh z new before", "", 2, func(x, _ []vec) vec {
		return mul(mul(x[0], sub(x[3], x[2])), bell(x[1]))
	})
	kernel("gruNewGrad", "sets y = dh*(1-z)*(1-new*new).", "dh z new", "", 2, func(x, _ []vec) vec {
		return mul(mul(x[0], oneLess(x[1])), oneLess(mul(x[2], x[2])))
	})
	kernel("gruResetGrad", "sets y = d*q*(r*(1-r)).", "d r q", "", 2, func(x, _ []vec) vec {
		return mul(mul(x[0], x[2]), bell(x[1]))
	})
	kernel("mulAdd", "sets y = x + a*b; y may be x.", "x a b", "", 4, func(x, _ []vec) vec { return add(x[0], mul(x[1], x[2])) })
}
