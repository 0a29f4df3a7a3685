package ops

import (
	"math"

	"gorgonia.org/gorgonia"
)

// Pow returns a to the power of b, with broadcasting (ONNX Pow on floats). As in PyTorch, the derivative by a is
// b*a^(b-1), and 0 where b is 0; that by b is y*log(a), and 0 where a is 0 and b is not negative.
func Pow(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	return zipFloats("Pow", func(a, b, _ float64) float64 { return math.Pow(a, b) },
		func(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
			a, b := in[0], in[1]
			da, err := zipFloats("PowGrad", func(dy, a, b float64) float64 {
				if b == 0 {
					return 0
				}
				return dy * b * math.Pow(a, b-1)
			}, nil, dy, a, b)
			if err != nil {
				return nil, err
			}
			if da, err = sumTo(da, a.Shape()); err != nil {
				return nil, err
			}
			db, err := zipFloats("PowGrad", func(dy, a, b float64) float64 {
				if a == 0 && b >= 0 {
					return 0
				}
				return dy * math.Pow(a, b) * math.Log(a)
			}, nil, dy, a, b)
			if err != nil {
				return nil, err
			}
			db, err = sumTo(db, b.Shape())
			return gorgonia.Nodes{da, db}, err
		}, a, b)
}

// PowConst returns x to a fixed power, with the derivative p*x^(p-1).
func PowConst(x *gorgonia.Node, p float64) (*gorgonia.Node, error) {
	switch p {
	case 1:
		return x, nil
	case 0.5:
		return Sqrt(x)
	case 2:
		return Mul(x, x)
	case -1:
		return Reciprocal(x)
	}
	return curve{
		func(x float64) float64 { return math.Pow(x, p) },
		func(x float64) float64 {
			if p == 0 {
				return 0
			}
			return p * math.Pow(x, p-1)
		},
	}.apply("Pow", x)
}

// Max returns the greater of a and b, with broadcasting; NaN wins. Where they are equal, each gets half of the
// derivative, as in PyTorch.
func Max(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	return extremum("Max", a, b, func(a, b, _ float64) float64 { return max(a, b) }, 1)
}

// Min is Max for the lesser.
func Min(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	return extremum("Min", a, b, func(a, b, _ float64) float64 { return min(a, b) }, -1)
}

// extremum is Max with side 1 and Min with side -1.
func extremum(name string, a, b *gorgonia.Node, f func(a, b, _ float64) float64, side float64) (*gorgonia.Node, error) {
	share := func(dy, mine, other float64) float64 {
		switch d := side * (mine - other); {
		case mine == other:
			return dy / 2
		case d < 0:
			return 0
		}
		return dy
	}
	return zipFloats(name, f, func(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
		grads := make(gorgonia.Nodes, 2)
		for i := range grads {
			d, err := zipFloats(name+"Grad", share, nil, dy, in[i], in[1-i])
			if err != nil {
				return nil, err
			}
			if grads[i], err = sumTo(d, in[i].Shape()); err != nil {
				return nil, err
			}
		}
		return grads, nil
	}, a, b)
}

// Mod returns the remainder of a/b: with floor set that of the quotient rounded down, which has the sign of b (ONNX
// Mod), else that of the quotient cut off, which has the sign of a (ONNX Mod with fmod=1). Its derivative by a is 1 and
// that by b is minus the rounded quotient.
func Mod(a, b *gorgonia.Node, floor bool) (*gorgonia.Node, error) {
	f, quotient := math.Mod, math.Trunc
	if floor {
		f, quotient = floorMod, math.Floor
	}
	return zipFloats("Mod", func(a, b, _ float64) float64 { return f(a, b) },
		func(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
			da, err := sumTo(dy, in[0].Shape())
			if err != nil {
				return nil, err
			}
			db, err := zipFloats("ModGrad", func(dy, a, b float64) float64 { return -dy * quotient(a/b) }, nil, dy, in[0], in[1])
			if err != nil {
				return nil, err
			}
			db, err = sumTo(db, in[1].Shape())
			return gorgonia.Nodes{da, db}, err
		}, a, b)
}

// floorMod is a - floor(a/b)*b without its rounding errors. A remainder of 0 has the sign of b.
func floorMod(a, b float64) float64 {
	r := math.Mod(a, b)
	switch {
	case r == 0:
		return math.Copysign(0, b)
	case math.Signbit(r) != math.Signbit(b) && r == r:
		return r + b
	}
	return r
}

// PRelu returns x where x > 0, else slope*x; slope broadcasts to x (ONNX PRelu). Its derivative by x at 0 is slope.
func PRelu(x, slope *gorgonia.Node) (*gorgonia.Node, error) {
	return zipFloats("PRelu", func(x, s, _ float64) float64 {
		if x > 0 {
			return x
		}
		return s * x
	}, func(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
		dx, err := zipFloats("PReluGrad", func(dy, x, s float64) float64 {
			if x > 0 {
				return dy
			}
			return dy * s
		}, nil, dy, in[0], in[1])
		if err != nil {
			return nil, err
		}
		if dx, err = sumTo(dx, in[0].Shape()); err != nil {
			return nil, err
		}
		ds, err := zipFloats("PReluGrad", func(dy, x, _ float64) float64 { return dy * min(x, 0) }, nil, dy, in[0])
		if err != nil {
			return nil, err
		}
		ds, err = sumTo(ds, in[1].Shape())
		return gorgonia.Nodes{dx, ds}, err
	}, x, slope)
}
