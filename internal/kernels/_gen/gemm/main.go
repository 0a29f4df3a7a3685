// Command gemm writes the AVX2 and AVX-512 micro-kernels of matrix multiplication. Run it by `go generate` in
// internal/kernels.
package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A set is a set of instructions: its vectors, and the largest tile whose sums they hold.
type set struct {
	name   string
	lanes  int
	vec    func() reg.VecVirtual
	rows   int
	unroll int    // products in one round of the loop
	broad  [2]int // vectors of tiles of one row and of two whose columns lie together in B
}

var (
	avx2   = set{"AVX2", 8, YMM, 6, 4, [2]int{8, 4}}
	avx512 = set{"AVX512", 16, ZMM, 12, 1, [2]int{8, 8}}
)

func main() {
	ConstraintExpr("!noasm")
	for _, s := range []set{avx2, avx512} {
		for width := 2; width >= 1; width-- {
			for rows := s.rows; rows >= 1; rows-- {
				tile(s, rows, width, false)
			}
		}
		tile(s, s.rows, 2, true)
		for i, width := range s.broad {
			tile(s, i+1, width, false)
		}
		peak(s)
	}
	masks()
	Generate()
}

// peak writes the loop that measures what the processor can do at most.
func peak(s set) {
	TEXT("peak"+s.name, NOSPLIT, "func(n int)")
	Doc(fmt.Sprintf("peak%s does n times 12 independent multiplications and additions of %d numbers.", s.name, s.lanes))
	n := Load(Param("n"), GP64())
	zero := s.vec()
	VXORPS(zero, zero, zero)
	sum := make([]reg.VecVirtual, 12)
	for i := range sum {
		sum[i] = s.vec()
		VXORPS(sum[i], sum[i], sum[i])
	}
	Label("again")
	for i := range sum {
		VFMADD231PS(zero, zero, sum[i])
	}
	DECQ(n)
	JNZ(operand.LabelRef("again"))
	VZEROUPPER()
	RET()
}

// Places of the fields of tileArgs, and its flags.
const (
	products = 8 * iota
	aData
	aRow
	aStep
	aNext
	bData
	bStep
	cData
	cRow
	count
	lastCols
	flags
	biasData
	aheadData
	aheadStep
	aheadRows
	aheadEach
	chunk
	cThen
	kept

	accumulate, columnBias, rowBias, relu = 1, 2, 4, 8
)

// masks is a table whose eight words from 4*(8-n) on have all bits in the first n.
func masks() {
	GLOBL("gemmMasks", attr.RODATA|attr.NOPTR)
	for i := range 16 {
		DATA(4*i, operand.U32(uint32(0xFFFFFFFF*(1-i/8))))
	}
}

// tile writes the product of rows x k by k x (lanes*width), kept in rows*width registers. With keeps it is for one tile,
// and packs B besides.
func tile(s set, rows, width int, keeps bool) {
	name := fmt.Sprintf("gemm%sx%dx%d", s.name, rows, s.lanes*width)
	what := fmt.Sprintf("tiles of %d rows and up to %d columns", rows, s.lanes*width)
	if keeps {
		name += "Keep"
		what = fmt.Sprintf("a tile of %d rows and %d columns and packs those of B", rows, s.lanes*width)
	}
	TEXT(name, NOSPLIT, "func(t *uintptr)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes %s; t points to a tileArgs.", name, what))
	t := Load(Param("t"), GP64())
	field := func(offset int) operand.Mem { return operand.Mem{Base: t, Disp: offset} }
	// What differs from tile to tile is in the frame.
	here := AllocLocal(64)
	left, aHere, cHere, biasHere, aheadHere := here, here.Offset(8), here.Offset(16), here.Offset(24), here.Offset(32)
	remaining, cNext, aheadLeft := here.Offset(40), here.Offset(48), here.Offset(56)
	// Small tiles have no time for it.
	fetches := rows*width >= 8
	r := GP64()
	for _, v := range []struct {
		from int
		to   operand.Mem
	}{{count, left}, {aData, aHere}, {cData, cHere}, {biasData, biasHere}, {aheadData, aheadHere}, {aheadRows, aheadLeft}} {
		MOVQ(field(v.from), r)
		MOVQ(r, v.to)
	}

	Label("tile")
	a := make([]reg.GPVirtual, (rows+2)/3) // a[i] points to row 3*i
	for i := range a {
		a[i] = GP64()
	}
	row, step, b, bNext, k := GP64(), GP64(), GP64(), GP64(), GP64()
	keep := GP64()
	MOVQ(aHere, a[0])
	MOVQ(field(aRow), row)
	MOVQ(field(aStep), step)
	MOVQ(field(bData), b)
	MOVQ(field(bStep), bNext)
	MOVQ(field(products), k)
	for i := 1; i < len(a); i++ {
		LEAQ(operand.Mem{Base: a[i-1], Index: row, Scale: 2}, a[i])
		ADDQ(row, a[i])
	}
	element := func(i int) operand.Mem {
		m := operand.Mem{Base: a[i/3]}
		if i%3 > 0 {
			m.Index, m.Scale = row, uint8(i%3)
		}
		return m
	}
	Comment("The sums start at zero; C is added after the loop.")
	sum := make([][]reg.VecVirtual, rows)
	for i := range sum {
		sum[i] = make([]reg.VecVirtual, width)
		for j := range sum[i] {
			sum[i][j] = s.vec()
			VXORPS(sum[i][j], sum[i][j], sum[i][j])
		}
	}
	if fetches {
		c, ldc, then := GP64(), GP64(), GP64()
		MOVQ(cHere, c)
		MOVQ(field(cRow), ldc)
		MOVQ(left, then)
		CMPQ(then, field(count))
		JNE(operand.LabelRef("fetched"))
		Comment("The first tile of C comes into the cache at once.")
		for range rows {
			fetchRow(s, c, width)
			ADDQ(ldc, c)
		}
		Label("fetched")
		Comment("A row of the next one every few products.")
		IMUL3Q(operand.Imm(uint64(rows)), ldc, c)
		ADDQ(cHere, c)
		CMPQ(left, operand.Imm(1))
		CMOVQEQ(field(cThen), c)
		MOVQ(c, cNext)
	}
	bv := make([]reg.VecVirtual, min(width, 2))
	for j := range bv {
		bv[j] = s.vec()
	}
	tmp := [2]reg.VecVirtual{s.vec(), s.vec()}
	multiply := func() {
		if width > 2 {
			for i := range sum {
				VBROADCASTSS(element(i), tmp[i])
			}
			for j := range width {
				v := bv[j%2]
				VMOVUPS(operand.Mem{Base: b, Disp: 4 * s.lanes * j}, v)
				for i := range sum {
					VFMADD231PS(v, tmp[i], sum[i][j])
				}
			}
			return
		}
		for j := range bv {
			VMOVUPS(operand.Mem{Base: b, Disp: 4 * s.lanes * j}, bv[j])
			if keeps {
				VMOVUPS(bv[j], operand.Mem{Base: keep, Disp: 4 * s.lanes * j})
			}
		}
		for i := range sum {
			if width == 1 && s.name == avx512.name {
				VFMADD231PS_BCST(element(i), bv[0], sum[i][0])
				continue
			}
			VBROADCASTSS(element(i), tmp[i%2])
			for j := range bv {
				VFMADD231PS(bv[j], tmp[i%2], sum[i][j])
			}
		}
	}
	product := func() {
		multiply()
		for _, p := range a {
			ADDQ(step, p)
		}
		ADDQ(bNext, b)
		if keeps {
			ADDQ(operand.Imm(uint64(4*s.lanes*width)), keep)
		}
	}
	if keeps {
		MOVQ(field(kept), keep)
	}
	if fetches {
		MOVQ(k, remaining)
		Label("chunk")
		r := GP64()
		MOVQ(cNext, r)
		fetchRow(s, r, width)
		ADDQ(field(cRow), r)
		MOVQ(r, cNext)
		n := GP64()
		MOVQ(aheadLeft, n)
		CMPQ(n, field(aheadEach))
		CMOVQGT(field(aheadEach), n)
		SUBQ(n, aheadLeft)
		TESTQ(n, n)
		JZ(operand.LabelRef("ahead"))
		MOVQ(aheadHere, r)
		Label("row")
		PREFETCHT0(operand.Mem{Base: r})
		PREFETCHT0(operand.Mem{Base: r, Disp: 64})
		ADDQ(field(aheadStep), r)
		DECQ(n)
		JNZ(operand.LabelRef("row"))
		MOVQ(r, aheadHere)
		Label("ahead")
		MOVQ(field(chunk), k)
		CMPQ(k, remaining)
		CMOVQGT(remaining, k)
		SUBQ(k, remaining)
	}
	if s.unroll > 1 {
		SUBQ(operand.Imm(uint64(s.unroll)), k)
		JL(operand.LabelRef("rest"))
		Label("several")
		for range s.unroll {
			product()
		}
		SUBQ(operand.Imm(uint64(s.unroll)), k)
		JGE(operand.LabelRef("several"))
		Label("rest")
		ADDQ(operand.Imm(uint64(s.unroll)), k)
		JZ(operand.LabelRef("done"))
	}
	Label("one")
	product()
	DECQ(k)
	JNZ(operand.LabelRef("one"))
	Label("done")
	if fetches {
		CMPQ(remaining, operand.Imm(0))
		JNE(operand.LabelRef("chunk"))
	}

	epilogue(s, sum, bv[0], tmp, field, cHere, biasHere)

	MOVQ(aHere, r)
	ADDQ(field(aNext), r)
	MOVQ(r, aHere)
	DECQ(left)
	JNZ(operand.LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// fetchRow brings the columns of a row of a tile into the cache.
func fetchRow(s set, row reg.Register, width int) {
	last := 4*s.lanes*width - 4
	for at := 0; at < last; at += 64 {
		PREFETCHT0(operand.Mem{Base: row, Disp: at})
	}
	PREFETCHT0(operand.Mem{Base: row, Disp: last})
}

// epilogue finishes the sums, stores them, and moves on to the rows below. Only the last vector of a row may be
// incomplete.
func epilogue(s set, sum [][]reg.VecVirtual, mask reg.VecVirtual, tmp [2]reg.VecVirtual, field func(int) operand.Mem, cHere, biasHere operand.Mem) {
	rows, last := len(sum), len(sum[0])-1
	c, ldc, what, n, at := GP64(), GP64(), GP64(), GP64(), GP64()
	MOVQ(cHere, c)
	MOVQ(field(cRow), ldc)
	MOVQ(field(flags), what)
	MOVQ(field(lastCols), n)
	// The mask for the last vector of a row, in k or mask.
	k := K()
	if s.name == avx512.name {
		ones := GP32()
		MOVL(operand.U32(0xFFFF), ones)
		BZHIL(n.As32(), ones, ones)
		KMOVW(ones, k)
	} else {
		table := GP64()
		LEAQ(operand.NewDataAddr(operand.NewStaticSymbol("gemmMasks"), 4*s.lanes), table)
		MOVQ(n, at)
		NEGQ(at)
		VMOVUPS(operand.Mem{Base: table, Index: at, Scale: 4}, mask)
	}
	// lastVector reads the last vector of a row.
	lastVector := func(from operand.Mem, to reg.VecVirtual) {
		if s.name == avx512.name {
			VMOVUPS_Z(from, k, to)
		} else {
			VMASKMOVPS(from, mask, to)
		}
	}
	when := func(flag int, skip string, body func()) {
		TESTQ(operand.U32(uint32(flag)), what)
		JZ(operand.LabelRef(skip))
		body()
		Label(skip)
	}
	eachRow := func(pointer reg.GPVirtual, body func(i int)) {
		for i := range rows {
			body(i)
			if i+1 < rows {
				ADDQ(ldc, pointer)
			}
		}
	}
	vector := func(base reg.Register, j int) operand.Mem { return operand.Mem{Base: base, Disp: 4 * s.lanes * j} }

	when(accumulate, "fresh", func() {
		MOVQ(c, at)
		eachRow(at, func(i int) {
			for j := range last {
				VADDPS(vector(at, j), sum[i][j], sum[i][j])
			}
			lastVector(vector(at, last), tmp[i%2])
			VADDPS(tmp[i%2], sum[i][last], sum[i][last])
		})
	})
	when(columnBias, "rowBias", func() {
		MOVQ(biasHere, at)
		for j := range last + 1 {
			if j == last {
				lastVector(vector(at, j), tmp[0])
			} else {
				VMOVUPS(vector(at, j), tmp[0])
			}
			for i := range sum {
				VADDPS(tmp[0], sum[i][j], sum[i][j])
			}
		}
	})
	when(rowBias, "activation", func() {
		MOVQ(biasHere, at)
		for i := range sum {
			VBROADCASTSS(operand.Mem{Base: at, Disp: 4 * i}, tmp[i%2])
			for j := range sum[i] {
				VADDPS(tmp[i%2], sum[i][j], sum[i][j])
			}
		}
		ADDQ(operand.Imm(uint64(4*rows)), at)
		MOVQ(at, biasHere)
	})
	when(relu, "store", func() {
		zero := tmp[0]
		VXORPS(zero, zero, zero)
		for i := range sum {
			for j, v := range sum[i] {
				// The second operand, the sum, is the result if it is NaN or if both are zero: the
				// addition turns -0 to 0.
				VMAXPS(v, zero, sum[i][j])
				VADDPS(zero, sum[i][j], sum[i][j])
			}
		}
	})
	CMPQ(n, operand.Imm(uint64(s.lanes)))
	JNE(operand.LabelRef("partial"))
	eachRow(c, func(i int) {
		for j, v := range sum[i] {
			VMOVUPS(v, vector(c, j))
		}
	})
	JMP(operand.LabelRef("stored"))
	Label("partial")
	eachRow(c, func(i int) {
		for j, v := range sum[i][:last] {
			VMOVUPS(v, vector(c, j))
		}
		if s.name == avx512.name {
			VMOVUPS(sum[i][last], k, vector(c, last))
		} else {
			VMASKMOVPS(sum[i][last], mask, vector(c, last))
		}
	})
	Label("stored")
	ADDQ(ldc, c)
	MOVQ(c, cHere)
}
