package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/exec"
	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

var newestCases = flag.String("newest", "", "directory that models/conformance.py made: rewrite the README's table")

const (
	oldCases      = "/usr/share/libonnx-testdata/data"
	tableFrom     = "<!-- conformance: made by make conformance -->"
	tableTo       = "<!-- end of conformance -->"
	readmeOfTable = "../../README.md"
)

// A row is what the cases of one operator show.
type row struct {
	old, new [2]int // cases that pass, and all
	forward  string // "data": as part of a graph; "constants": only where its inputs are known; "" not at all
	gradient string // "yes", "zero" where it is 0 everywhere, ""
}

// TestCoverage is no test: with -newest it runs all cases and writes the table of operators into the README.
func TestCoverage(t *testing.T) {
	if *newestCases == "" {
		t.Skip("make conformance runs it")
	}
	var opsets struct {
		ONNX      string
		Operators map[string][]int
	}
	b, err := os.ReadFile(filepath.Join(*newestCases, "opsets.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &opsets); err != nil {
		t.Fatal(err)
	}
	rows := map[string]*row{}
	for name := range opsets.Operators {
		rows[name] = &row{}
	}
	var text strings.Builder
	text.WriteString("| suite | cases | pass | unsupported | wrong |\n|---|---|---|---|---|\n")
	for _, s := range []struct{ name, dir string }{
		{"ONNX 1.12, operators", filepath.Join(oldCases, "node")},
		{"ONNX 1.12, pytorch-converted", filepath.Join(oldCases, "pytorch-converted")},
		{"ONNX 1.12, pytorch-operator", filepath.Join(oldCases, "pytorch-operator")},
		{"ONNX " + opsets.ONNX + ", light (whole networks)", filepath.Join(*newestCases, "light")},
		{"ONNX " + opsets.ONNX + ", operators", filepath.Join(*newestCases, "node")},
	} {
		dirs, err := cases(s.dir)
		if err != nil {
			t.Fatal(err)
		}
		all := &tally{}
		kinds := map[string]*tally{}
		for _, d := range dirs {
			v := verify(context.Background(), d, machineMemory())
			all.add(v)
			if v.Result == "wrong" || v.Result == "error" {
				t.Errorf("%s: %s", d, v.Detail)
			}
			op, kind := onlyOperator(t, d)
			if kind != "" {
				if kinds[kind] == nil {
					kinds[kind] = &tally{}
				}
				kinds[kind].add(v)
			}
			if r := rows[op]; r != nil {
				n := &r.old
				if strings.HasPrefix(s.dir, *newestCases) {
					n = &r.new
				}
				n[1]++
				if v.Result == "pass" {
					n[0]++
					r.measure(d)
				}
			}
		}
		all.print(&text, s.name)
		if strings.HasSuffix(s.name, "operators") {
			for _, kind := range slices.Sorted(maps.Keys(kinds)) {
				kinds[kind].print(&text, "- "+kind)
			}
		}
	}
	fmt.Fprintf(&text, "\n<details><summary>All operators</summary>\n\n| operator | versions | forward | gradient | cases of 1.12 | cases of %s |\n|---|---|---|---|---|---|\n", opsets.ONNX)
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		r := rows[name]
		if r.old[1]+r.new[1] == 0 {
			continue // nothing shows what it does
		}
		versions := strings.Trim(strings.ReplaceAll(fmt.Sprint(opsets.Operators[name]), " ", ", "), "[]")
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s | %s |\n", name, versions, dash(r.forward), dash(r.gradient), share(r.old), share(r.new))
	}
	text.WriteString("\n</details>\n")
	readme, err := os.ReadFile(readmeOfTable)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(readme), tableFrom)
	_, after, ok2 := strings.Cut(rest, tableTo)
	if !ok || !ok2 {
		t.Fatalf("%s has no %q", readmeOfTable, tableFrom)
	}
	if err := os.WriteFile(readmeOfTable, []byte(before+tableFrom+"\n"+text.String()+tableTo+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func share(n [2]int) string {
	if n[1] == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d", n[0], n[1])
}

// A tally counts verdicts.
type tally struct{ cases, pass, unsupported, wrong int }

func (n *tally) add(v verdict) {
	n.cases++
	switch v.Result {
	case "pass":
		n.pass++
	case "unsupported":
		n.unsupported++
	default:
		n.wrong++
	}
}

func (n *tally) print(w io.Writer, name string) {
	fmt.Fprintf(w, "| %s | %d | %d | %d | %d |\n", name, n.cases, n.pass, n.unsupported, n.wrong)
}

// onlyOperator returns the operator of a case whose model is one node, and what kind of results it has; else "", "".
func onlyOperator(t *testing.T, dir string) (op, kind string) {
	b, err := os.ReadFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	var p onnxpb.ModelProto
	if err := proto.Unmarshal(b, &p); err != nil || len(p.GetGraph().GetNode()) != 1 {
		return "", ""
	}
	floats, ints := true, true
	for _, o := range p.Graph.Output {
		elem := o.GetType().GetTensorType().GetElemType()
		floats = floats && elem == int32(onnxpb.TensorProto_FLOAT)
		ints = ints && onnxpb.IsInt(elem)
	}
	switch {
	case floats:
		kind = "one operator, float32 results"
	case ints:
		kind = "one operator, integers or booleans as results"
	}
	return p.Graph.Node[0].GetOpType(), kind
}

// measure finds out how a case that passes is computed, and whether its output has a derivative.
func (r *row) measure(dir string) {
	m, err := onnxload.ParseFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		return
	}
	inputs, err := readValues(filepath.Join(dir, "test_data_set_0"), "input")
	if err != nil {
		return
	}
	if r.forward == "" {
		r.forward = "constants"
	}
	for free := len(inputs); free > 0; free-- {
		if _, err := outputsWith(context.Background(), m, inputs, free, tensor.Float64, machineMemory()); err != nil {
			continue
		}
		r.forward = "data"
		if r.gradient != "yes" {
			if g := derivative(m, inputs, free); g != "" {
				r.gradient = g
			}
		}
		return
	}
}

// derivative tells whether the sum of the outputs' elements has a derivative by a float input, and whether it is 0.
func derivative(m *onnxload.Model, inputs []value, free int) (found string) {
	o := onnxload.Options{Dtype: tensor.Float64, Known: map[string]*tensor.Dense{}, Shapes: map[string][]int{}}
	for i, v := range inputs {
		if i >= free || v.empty() {
			o.Known[m.Inputs[i].Name] = v.dense(tensor.Float64)
		} else {
			o.Shapes[m.Inputs[i].Name] = append([]int{}, v.shape...)
		}
	}
	net, err := m.Build(1, o)
	if err != nil {
		return ""
	}
	for _, in := range net.Inputs {
		if in.Dtype() != tensor.Float64 {
			continue
		}
		g, err := gradientBy(net, in)
		if err != nil {
			continue
		}
		plan, err := exec.Compile([]*gorgonia.Node{g}, exec.Options{})
		if err != nil {
			continue
		}
		vm := plan.New(parallel.New(1))
		at := 0
		for i, v := range inputs {
			if i >= free || v.empty() {
				continue
			}
			if h, ok := vm.Input(net.Inputs[at]); ok {
				if v.f != nil {
					err = errors.Join(err, vm.BindF64(h, v.f))
				} else {
					err = errors.Join(err, vm.BindI64(h, v.i))
				}
			}
			at++
		}
		if err != nil || vm.Run(context.Background(), exec.Draw{}) != nil {
			continue
		}
		if slices.ContainsFunc(vm.Buf(g).F64, func(x float64) bool { return x != 0 }) {
			return "yes"
		}
		found = "zero"
	}
	return found
}

// gradientBy returns the derivative of the sum of all float outputs.
func gradientBy(net *onnxload.Net, in *gorgonia.Node) (g *gorgonia.Node, err error) {
	err = ops.Building(func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%v", p)
			}
		}()
		var loss *gorgonia.Node
		for _, y := range net.Outputs {
			if y.Dtype() != tensor.Float64 {
				continue
			}
			if y, err = ops.Mul(y, y); err != nil { // else the derivative of Softmax is 0
				return err
			}
			if y, err = ops.ReduceSum(y, nil, false); err != nil {
				return err
			}
			if loss == nil {
				loss = y
			} else if loss, err = ops.Add(loss, y); err != nil {
				return err
			}
		}
		if loss == nil {
			return errors.New("no output of floats")
		}
		all, err := gorgonia.Grad(loss, in)
		if err == nil {
			g = all[0]
		}
		return err
	})
	return g, err
}
