package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// ending is the linear model with more nodes behind its scores y, each "output = operator inputs"; the names of outputs follow, which have
// three numbers a sample. There are constants two and small, and the axes 1 of a reduction.
func ending(t *testing.T, nodes string, outputs ...string) []byte {
	t.Helper()
	var m onnxpb.ModelProto
	if err := proto.Unmarshal(newLinear(6).onnx(), &m); err != nil {
		t.Fatal(err)
	}
	m.OpsetImport[0].Version = proto.Int64(13)
	g := m.Graph
	for name, v := range map[string]float32{"two": 2, "small": 1e-9} {
		g.Node = append(g.Node, &onnxpb.NodeProto{OpType: proto.String("Constant"), Output: []string{name},
			Attribute: []*onnxpb.AttributeProto{{Name: proto.String("value"), Type: onnxpb.AttributeProto_TENSOR.Enum(), T: floatTensor("", []float32{v})}}})
	}
	axes := intTensor([]int64{1}, 1)
	axes.Name = proto.String("axes")
	g.Initializer = append(g.Initializer, axes)
	for _, line := range strings.Split(nodes, ";") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		n := &onnxpb.NodeProto{Name: proto.String(f[0] + "_node"), OpType: proto.String(f[2]), Output: f[:1], Input: f[3:]}
		if f[2] == "Softmax" || f[2] == "LogSoftmax" {
			n.Attribute = []*onnxpb.AttributeProto{{Name: proto.String("axis"), Type: onnxpb.AttributeProto_INT.Enum(), I: proto.Int64(1)}}
		}
		g.Node = append(g.Node, n)
	}
	g.Output = nil
	for _, name := range outputs {
		g.Output = append(g.Output, info(name, "batch", 3))
	}
	return marshal(t, &m)
}

// A softmax that is written out is passed over as the operator is: training gives the same weights, to the bit.
func TestSoftmaxFormula(t *testing.T) {
	workDir(t)
	var want string
	for i, nodes := range []string{
		"p = Softmax y",
		"e = Exp y; s = ReduceSum e axes; p = Div e s",
		"m = ReduceMax y; z = Sub y m; e = Exp z; s = ReduceSum e axes; p = Div e s",
		"e = Exp y; s = ReduceSum e axes; t = Add s small; p = Div e t",
		"e = Exp y; s = ReduceSum e axes; r = Reciprocal s; p = Mul r e",
		"l = LogSoftmax y; p = Exp l",
	} {
		write(t, "l.onnx", ending(t, nodes, "p"))
		out, errs, code := call(t, "train", "l.onnx", "--data", "data", "--epochs", "5", "--batch", "16", "--out", "o.onnx")
		if code != 0 || !strings.Contains(out, "before the final Softmax, from its logits") || strings.Contains(errs, "computed from") {
			t.Errorf("%s: %d\n%s%s", nodes, code, out, errs)
		}
		m, err := openModel("o.onnx")
		if err != nil {
			t.Fatal(err)
		}
		net, err := m.build(1, onnxload.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(net.Weights(), must(t, "eval", "o.onnx", "--data", "data"))
		if i == 0 {
			want = got
		} else if got != want {
			t.Errorf("%s: the weights or the loss differ from those of Softmax", nodes)
		}
	}
}

// What the loss takes for something else than it is, is said by each verb in one sentence.
func TestLossNotes(t *testing.T) {
	workDir(t)
	x, labels := squares(4, 6, 1)
	pixels := make([]float32, len(x))
	for i, v := range x {
		pixels[i] = float32(v)
	}
	write(t, "case/input_0.pb", marshal(t, floatTensor("", pixels, 4, 1, 6, 6)))
	classes := make([]int64, 4)
	for i, l := range labels {
		classes[i] = int64(l)
	}
	write(t, "case/target_0.pb", marshal(t, intTensor(classes, 4)))

	taken := func(from, node, loss, what string) string {
		return fmt.Sprintf(`output "p" is computed from a %s (node "%s_node"), which the loss %s takes for %s: the loss is wrong, and training with it goes badly; `, from, node, loss, what)
	}
	export := func(from string) string {
		return fmt.Sprintf("export what the %s reads as the output, or as another one to be trained by --output NAME", from)
	}
	const logarithm = ", or export the logarithm of the probabilities and use the loss nll"
	for _, c := range []struct{ nodes, outputs, loss, want string }{
		{"", "y", "cross-entropy", ""},
		{"p = Softmax y", "p", "cross-entropy", ""},
		{"p = LogSoftmax y", "p", "cross-entropy", ""},
		{"q = Softmax y; p = Log q", "p", "cross-entropy", ""},
		{"q = Softmax y; p = Mul q two", "p", "cross-entropy", taken("Softmax", "q", "cross-entropy", "scores") + export("Softmax") + logarithm},
		{"q = Softmax y; p = Mul q two", "p y", "cross-entropy", taken("Softmax", "q", "cross-entropy", "scores") + `train its output "y" by --output y if that is the scores` + logarithm},
		{"q = Softmax y; p = Mul q two; r = Softmax p", "p r", "cross-entropy", taken("Softmax", "q", "cross-entropy", "scores") + export("Softmax") + logarithm},
		{"e = Exp y; s = ReduceSum e axes; q = Div e s; p = Div q two", "p", "cross-entropy", taken("Softmax", "q", "cross-entropy", "scores") + export("Softmax") + logarithm},
		{"p = Sigmoid y", "p", "cross-entropy", taken("Sigmoid", "p", "cross-entropy", "scores") + export("Sigmoid") + logarithm},
		{"q = Softmax y; p = Softmax q", "p", "cross-entropy", taken("Softmax", "q", "cross-entropy", "scores") + export("Softmax") + logarithm},
		{"p = LogSoftmax y", "p", "nll", ""},
		{"q = Softmax y; r = Add q small; p = Log r", "p", "nll", ""},
		{"", "y", "nll", `output "y" does not end in LogSoftmax, and the loss nll wants logarithms of probabilities; cross-entropy is meant for plain outputs`},
		{"p = Softmax y", "p", "nll", taken("Softmax", "p", "nll", "logarithms of probabilities") + "use the loss cross-entropy, which is computed from what the Softmax reads"},
		{"q = Softmax y; p = Mul q two", "p", "nll", taken("Softmax", "q", "nll", "logarithms of probabilities") + "export their logarithm"},
	} {
		write(t, "l.onnx", ending(t, c.nodes, strings.Fields(c.outputs)...))
		for _, args := range [][]string{
			{"train", "l.onnx", "--data", "data", "--max-outer", "1", "-L", "1", "--batch", "16"},
			{"eval", "l.onnx", "--data", "data"},
			{"grad", "l.onnx", "--case", "case"},
		} {
			_, errs, code := call(t, append(args, "--loss", c.loss)...)
			if code != 0 {
				t.Fatalf("%s, %s: %s", args[0], c.nodes, errs)
			}
			var got string
			for _, line := range strings.Split(errs, "\n") {
				if strings.Contains(line, "the loss") {
					got += line
				}
			}
			want := c.want
			if want != "" {
				want = "note: l.onnx: " + want + "."
			}
			if got != want {
				t.Errorf("%s of %q with %s:\n%q, want\n%q", args[0], c.nodes, c.loss, got, want)
			}
		}
	}
}

// The binary cross-entropy wants logits or their Sigmoid.
func TestBinaryLossNotes(t *testing.T) {
	workDir(t)
	write(t, "case/input_0.pb", marshal(t, floatTensor("", make([]float32, 2*36), 2, 1, 6, 6)))
	write(t, "case/target_0.pb", marshal(t, floatTensor("", []float32{1, 0, 0, 0, 1, 1}, 2, 3)))
	for nodes, want := range map[string]string{
		"p = Sigmoid y":                "",
		"q = Sigmoid y; p = Mul q two": `a Sigmoid (node "q_node"), which the loss bce takes for logits: the loss is wrong, and training with it goes badly; export what the Sigmoid reads as the output, or as another one to be trained by --output NAME.`,
		"p = Softmax y":                `a Softmax (node "p_node"), which the loss bce takes for logits: the loss is wrong, and training with it goes badly; export what the Softmax reads as the output, or as another one to be trained by --output NAME; for all the classes of a Softmax there is the loss cross-entropy.`,
		"q = Sigmoid y; p = Log q":     `a Sigmoid (node "q_node"), which the loss bce takes for logits: the loss is wrong, and training with it goes badly; export what the Sigmoid reads as the output, or as another one to be trained by --output NAME.`,
		"p = HardSigmoid y":            `a HardSigmoid (node "p_node"), which the loss bce takes for logits: the loss is wrong, and training with it goes badly; export what the HardSigmoid reads as the output, or as another one to be trained by --output NAME.`,
	} {
		write(t, "l.onnx", ending(t, nodes, "p"))
		_, errs, code := call(t, "grad", "l.onnx", "--case", "case", "--loss", "bce")
		if want != "" {
			want = `note: l.onnx: output "p" is computed from ` + want + "\n"
		}
		if code != 0 || errs != want {
			t.Errorf("%s: %d, %q, want %q", nodes, code, errs, want)
		}
	}
}

// An output that is random in inference is said to be, unless the random numbers are those of another.
func TestRandomNotes(t *testing.T) {
	workDir(t)
	write(t, "l.onnx", ending(t, "noise = RandomNormalLike y; p = Add y noise", "p", "y"))
	const note = `note: l.onnx: output "p" depends on random numbers in inference too, those of node "noise_node": what it gives is one of many results, and another program that runs the file gets another.`
	for _, args := range [][]string{
		{"predict", "l.onnx", "--data", "data"},
		{"eval", "l.onnx", "--data", "data"},
		{"train", "l.onnx", "--data", "data", "--max-outer", "1", "-L", "1", "--batch", "16"},
	} {
		for _, output := range []string{"p", "y"} {
			_, errs, code := call(t, append(args, "--output", output)...)
			if code != 0 || slices.Contains(strings.Split(errs, "\n"), note) != (output == "p") || strings.Count(errs, "random") > 2 {
				t.Errorf("%s of %s: %d, %s", args[0], output, code, errs)
			}
		}
	}
}

// Outputs that nothing can be trained for say what can be.
func TestNoDerivative(t *testing.T) {
	workDir(t)
	for nodes, want := range map[string]string{
		"q = Greater y two; c = Where q two small; p = Add c c": `output "p" depends on the weights only through operators without a derivative, such as comparisons and ArgMax; train what these read, as another output`,
		"q = Mul y y; z = Sub y y; p = Sign z":                  "",
	} {
		write(t, "l.onnx", ending(t, nodes, "p"))
		_, errs, code := call(t, "train", "l.onnx", "--data", "data", "--max-outer", "1", "-L", "1", "--batch", "16")
		if (code != 0) != (want != "") || !strings.Contains(errs, want) {
			t.Errorf("%s: %d, %s", nodes, code, errs)
		}
	}
}
