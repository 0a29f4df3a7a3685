package onnxload_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

func ml(n *onnxpb.NodeProto) *onnxpb.NodeProto {
	n.Domain = proto.String("ai.onnx.ml")
	return n
}

// A classifier as skl2onnx converts sklearn.neural_network.MLPClassifier: the label is looked up in a table of classes.
func TestLabelsOfScikitLearn(t *testing.T) {
	m := model(17, list(input("x", "N", 2)), list(
		floats("coefficient", []int64{2, 3}, 1, 0, -1, 0, 1, 0.5), floats("intercepts", []int64{1, 3}, 0, 0, 0.25),
		ints("classes", 7, 5, 9), ints("shape", -1),
	), protos{
		node("MatMul", list("x", "coefficient"), list("a")),
		node("Add", list("a", "intercepts"), list("b")),
		node("Softmax", list("b"), list("probabilities")),
		node("ArgMax", list("probabilities"), list("k"), "axis", 1, "keepdims", 1),
		ml(node("ArrayFeatureExtractor", list("classes", "k"), list("c"))),
		node("Reshape", list("c", "shape"), list("label")),
	}, "label", "probabilities")
	m.Graph.Output[0].Type.GetTensorType().ElemType = proto.Int32(int32(onnxpb.TensorProto_INT64))
	m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String("ai.onnx.ml"), Version: proto.Int64(1)})
	net := build(t, m, 3, onnxload.Options{Dtype: tensor.Float64})
	got := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: []float64{3, 1, 1, 3, -3, 0}}, net.Outputs...)
	if want := []float64{7, 5, 9}; !slices.Equal(got[0], want) {
		t.Errorf("labels %v, want %v", got[0], want)
	}
	if len(net.Params) != 2 {
		t.Errorf("%d parameters; the coefficients and intercepts are 2", len(net.Params))
	}
}

func TestWhatToDoAboutScikitLearn(t *testing.T) {
	for op, remedy := range map[string]string{"LabelEncoder": "do this one to the data", "SVMRegressor": "only linear models"} {
		m := model(17, list(input("x", "N", 2)), nil, protos{ml(node(op, list("x"), list("y")))}, "y")
		m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String("ai.onnx.ml"), Version: proto.Int64(1)})
		if err := buildError(t, m, 1, onnxload.Options{}); !strings.Contains(err.Error(), remedy) {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// mlModel is one node of ai.onnx.ml on x, of two features a sample, with the outputs y or label and y.
func mlModel(op string, outputs []string, attrs ...any) *onnxpb.ModelProto {
	m := model(17, list(input("x", "N", 2)), nil, protos{ml(node(op, list("x"), outputs, attrs...))}, outputs...)
	m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String("ai.onnx.ml"), Version: proto.Int64(1)})
	for _, o := range m.Graph.Output {
		if o.GetName() == "label" {
			o.Type.GetTensorType().ElemType = proto.Int32(int32(onnxpb.TensorProto_INT64))
		}
	}
	return m
}

// The wanted numbers are those that onnxruntime 1.32.0 gives for the same nodes.
func TestLinearModelsAndSteps(t *testing.T) {
	two := []any{"coefficients", list[float32](-.5, .2, .5, -.2), "intercepts", list[float32](-.1, .1), "classlabels_ints", list[int64](3, 7)}
	three := []any{"coefficients", list[float32](-.5, .2, .5, -.2, 1, 1), "intercepts", list[float32](-.1, .1, 0), "classlabels_ints", list[int64](3, 7, 9)}
	one := []any{"coefficients", list[float32](.5, -.2), "intercepts", list[float32](.1), "classlabels_ints", list[int64](3, 7)}
	reg := []any{"coefficients", list[float32](.5, -.2, 1, 1), "intercepts", list[float32](.1, 0), "targets", 2}
	with := func(attrs []any, more ...any) []any { return append(slices.Clone(attrs), more...) }
	nan := float32(math.NaN())
	for _, c := range []struct {
		op           string
		attrs        []any
		label, want  []float64
		params, size int
		x            []float64 // else three samples
	}{
		{op: "LinearClassifier", attrs: two, label: list(7.0, 3, 7), want: list(-.2, .2, 1.6, -1.6, -.1, .1), params: 2, size: 6},
		{op: "LinearClassifier", attrs: with(two, "post_transform", "SOFTMAX"), label: list(7.0, 3, 7),
			want: list(.40131232, .59868765, .96083426, .03916572, .45016599, .54983395), params: 2, size: 6},
		{op: "LinearClassifier", attrs: with(two, "post_transform", "LOGISTIC"), label: list(7.0, 3, 7),
			want: list(.45016602, .54983401, .83201838, .16798159, .47502083, .52497917), params: 2, size: 3},
		{op: "LinearClassifier", attrs: with(one, "post_transform", "LOGISTIC"), label: list(7.0, 3, 7),
			want: list(.45016605, .54983395, .83201838, .16798162, .47502083, .52497917), params: 2, size: 3},
		{op: "LinearClassifier", attrs: with(three, "post_transform", "LOGISTIC"), label: list(9.0, 3, 7),
			want: list(.45016602, .54983401, .95257413, .83201838, .16798159, .11920291, .47502083, .52497917, .5), params: 2, size: 9},
		{op: "LinearClassifier", attrs: append(list[any]("coefficients", two[1], "intercepts", list[float32](0, 0)), two[4:]...), label: list(3.0),
			x: list(0.0, 0), want: list(0.0, 0), params: 2, size: 6}, // a tie
		{op: "LinearRegressor", attrs: reg, want: list(.2, 3, -1.6, -2, .1, 0), params: 2, size: 6},
		{op: "LinearRegressor", attrs: list[any](reg[0], reg[1], "targets", 2), want: list(.1, 3, -1.7, -2, 0, 0), params: 1, size: 4},
		{op: "LinearRegressor", attrs: with(reg, "post_transform", "LOGISTIC"), want: list(.54983401, .95257413, .16798159, .11920291, .52497917, .5), params: 2, size: 6},
		{op: "LinearRegressor", attrs: with(reg, "post_transform", "SOFTMAX"), want: list(.05732418, .94267583, .59868765, .40131232, .52497917, .47502083), params: 2, size: 6},
		{op: "Scaler", attrs: list[any]("offset", list[float32](1, 2), "scale", list[float32](2, 3)), want: list(0.0, 0, -8, -3, -2, -6)},
		{op: "Scaler", attrs: list[any]("offset", list[float32](1), "scale", list[float32](2)), want: list(0.0, 2, -8, 0, -2, -2)},
		{op: "Normalizer", attrs: list[any]("norm", "L1"), x: list(1.0, 2, -3, 1, 0, 0, -1, -2), want: list(1/3., 2/3., -.75, .25, 0, 0, -1/3., -2/3.)},
		{op: "Normalizer", attrs: list[any]("norm", "L2"), x: list(1.0, 2, -3, 1, 0, 0), want: list(.44721359, .89442719, -.94868326, .31622776, 0, 0)},
		{op: "Binarizer", attrs: nil, want: list(1.0, 1, 0, 1, 0, 0)},
		{op: "Imputer", attrs: list[any]("imputed_value_floats", list[float32](5, 6), "replaced_value_float", nan), x: list(1, math.NaN(), math.NaN(), 2), want: list(1.0, 6, 5, 2)},
		{op: "Imputer", attrs: list[any]("imputed_value_floats", list[float32](5)), want: list(1.0, 2, -3, 1, 5, 5)},
		{op: "FeatureVectorizer", attrs: list[any]("inputdimensions", list[int64](2)), want: list(1.0, 2, -3, 1, 0, 0)},
		{op: "ZipMap", attrs: list[any]("classlabels_int64s", list[int64](3, 7)), want: list(1.0, 2, -3, 1, 0, 0)},
	} {
		x := c.x
		if x == nil {
			x = list(1.0, 2, -3, 1, 0, 0)
		}
		outputs := list("y")
		if c.label != nil {
			outputs = list("label", "y")
		}
		net := build(t, mlModel(c.op, outputs, c.attrs...), len(x)/2, onnxload.Options{Dtype: tensor.Float64})
		got := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: x}, net.Outputs...)
		if y := got[len(got)-1]; len(y) != len(c.want) {
			t.Errorf("%s %v: %v, onnxruntime %v", c.op, c.attrs, y, c.want)
		} else {
			for i := range y {
				if !near(y[i], c.want[i], 1e-6) {
					t.Errorf("%s %v: %v, onnxruntime %v", c.op, c.attrs, y, c.want)
					break
				}
			}
		}
		if c.label != nil && !slices.Equal(got[0], c.label) {
			t.Errorf("%s %v: labels %v, onnxruntime %v", c.op, c.attrs, got[0], c.label)
		}
		if len(net.Params) != c.params || net.NumWeights() != c.size {
			t.Errorf("%s %v: %d parameters with %d weights, want %d with %d", c.op, c.attrs, len(net.Params), net.NumWeights(), c.params, c.size)
		}
	}
}

// Weights in attributes are written back there; of two classes with one row of coefficients the file has its negative too.
func TestWeightsInAttributes(t *testing.T) {
	m := mlModel("LinearClassifier", list("label", "y"), "classlabels_strings", list("no", "yes"), "coefficients", list[float32](-.5, .2, .5, -.2),
		"intercepts", list[float32](-.1, .1), "post_transform", "LOGISTIC")
	m.Graph.Output[0].Type.GetTensorType().ElemType = proto.Int32(int32(onnxpb.TensorProto_STRING))
	net := build(t, m, 3, onnxload.Options{Training: true})
	if !slices.Equal(net.OutputNames, list("y")) {
		t.Errorf("outputs %v; the label is made of strings and left out", net.OutputNames)
	}
	if p := net.Params[0]; p.Name != "n_label.coefficients" || !slices.Equal(p.Shape, list(1, 2)) || !p.Decay || net.Params[1].Decay {
		t.Errorf("parameters %+v", net.Params)
	}
	if b := must(net.Export(net.Weights(), nil, onnxload.ExportOptions{})); !bytes.Equal(b, net.Model().Bytes()) {
		t.Error("the file changes though its weights do not")
	}
	b := must(net.Export(list[float32](1, 2, 3), nil, onnxload.ExportOptions{}))
	var got onnxpb.ModelProto
	if err := proto.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := proto.Clone(m).(*onnxpb.ModelProto)
	for _, a := range want.Graph.Node[0].Attribute {
		switch a.GetName() {
		case "coefficients":
			a.Floats = list[float32](-1, -2, 1, 2)
		case "intercepts":
			a.Floats = list[float32](-3, 3)
		}
	}
	if !proto.Equal(&got, want) {
		t.Errorf("the file holds %v", got.Graph.Node)
	}
	frozen := build(t, m, 3, onnxload.Options{Training: true, Freeze: list("n_label.intercepts"), Output: "y"})
	if len(frozen.Params) != 1 || len(frozen.Frozen) != 1 || frozen.Frozen[0].Elsewhere {
		t.Errorf("trained %+v, frozen %+v", frozen.Params, frozen.Frozen)
	}
}

// With a new head labels are numbers of classes, for which onnxruntime and this program would find no place in the old table.
func TestLabelsOfNewHead(t *testing.T) {
	for _, table := range []*onnxpb.TensorProto{
		ints("classes", 7, 5, 9),
		{Name: proto.String("classes"), DataType: proto.Int32(int32(onnxpb.TensorProto_INT32)), Dims: list[int64](1, 3), RawData: []byte{1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0}},
		{Name: proto.String("classes"), DataType: proto.Int32(int32(onnxpb.TensorProto_STRING)), Dims: list[int64](3), StringData: [][]byte{[]byte("a"), []byte("b"), []byte("c")}},
		floats("classes", []int64{3}, 7, 5, 9),
	} {
		m := model(17, list(input("x", "N", 2)), list(floats("w", []int64{2, 3}), table, ints("shape", -1)), protos{
			node("MatMul", list("x", "w"), list("scores")),
			node("ArgMax", list("scores"), list("k"), "axis", 1, "keepdims", 1),
			ml(node("ArrayFeatureExtractor", list("classes", "k"), list("c"))),
			node("Reshape", list("c", "shape"), list("label")),
		}, "label", "scores")
		m.Graph.Output[0].Type.GetTensorType().ElemType = table.DataType
		m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String("ai.onnx.ml"), Version: proto.Int64(1)})
		p := must(onnxload.Parse(marshal(m)))
		for _, classes := range list(2, 3, 5) {
			h := must(p.WithHead(onnxload.HeadOptions{Classes: classes, Output: "scores"}))
			var got onnxpb.ModelProto
			if err := proto.Unmarshal(h.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			g := got.Graph.Initializer[1]
			if err := g.Check(); err != nil {
				t.Errorf("%s: %v", table.TypeName(), err)
			}
			if n, _ := onnxpb.Count(g.Dims); n != classes || len(g.Dims) != len(table.Dims) || g.GetDataType() != table.GetDataType() {
				t.Errorf("%s: %d classes, and labels of shape %v and type %s", table.TypeName(), classes, g.Dims, g.TypeName())
			}
			if classes == 3 {
				if !proto.Equal(g, table) {
					t.Errorf("%s: the labels changed with the same number of classes", table.TypeName())
				}
				continue
			}
			for k := range classes {
				text := fmt.Sprint(k)
				switch {
				case g.StringData != nil:
					if string(g.StringData[k]) != text {
						t.Errorf("label %q of class %d", g.StringData[k], k)
					}
				case onnxpb.IsFloat(g.GetDataType()):
					if x := must(g.Floats()); x[k] != float32(k) {
						t.Errorf("labels %v", x)
					}
				default:
					if x := must(g.Ints()); x[k] != int64(k) {
						t.Errorf("labels %v", x)
					}
				}
			}
		}
	}
}

func TestLinearModelsThatAreWrong(t *testing.T) {
	labels := []any{"classlabels_ints", list[int64](3, 7)}
	for _, c := range []struct {
		op, want string
		attrs    []any
	}{
		{"LinearRegressor", "has 3 numbers for 2 features and 1 targets", list[any]("coefficients", list[float32](1, 2, 3))},
		{"LinearRegressor", "has 2 numbers for 2 features and 1099511627776 targets", list[any]("coefficients", list[float32](1, 2), "targets", 1<<40)},
		{"LinearRegressor", "has 0 numbers", nil},
		{"LinearRegressor", "post_transform \"PROBIT\"", list[any]("coefficients", list[float32](1, 2), "post_transform", "PROBIT")},
		{"LinearClassifier", "4 coefficients and 1 intercepts for 2 features", append(labels[:2:2], "coefficients", list[float32](1, 2, 3, 4), "intercepts", list[float32](1))},
		{"LinearClassifier", "names no classes", list[any]("coefficients", list[float32](1, 2))},
		{"LinearClassifier", "one row of coefficients for two classes", append(labels[:2:2], "coefficients", list[float32](1, 2))},
		{"Normalizer", "norm \"MAX\"", nil},
		{"Scaler", "has 0 numbers for 2 features", nil},
		{"Scaler", "has 3 numbers for 2 features", list[any]("offset", list[float32](1, 2, 3), "scale", list[float32](1))},
		{"Imputer", "imputed_value_floats", nil},
		{"FeatureVectorizer", "inputdimensions [3]", list[any]("inputdimensions", list[int64](3))},
	} {
		m := mlModel(c.op, list("y"), c.attrs...)
		if err := buildError(t, m, 1, onnxload.Options{}); !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "n_y") {
			t.Errorf("%s %v: %v", c.op, c.attrs, err)
		}
	}
	chosen := mlModel("LinearClassifier", list("label", "y"), "classlabels_strings", list("no", "yes"), "coefficients", list[float32](1, 2, 3, 4))
	if err := buildError(t, chosen, 1, onnxload.Options{Output: "label"}); !strings.Contains(err.Error(), "made of strings") {
		t.Error(err)
	}
	m := mlModel("LabelEncoder", list("y"), "values_strings", list("a"))
	if err := buildError(t, m, 1, onnxload.Options{}); !strings.Contains(err.Error(), "made of strings, which are not computed with, and there is no other") {
		t.Error(err)
	}
}

// The probabilities 1-p and p of two classes are a Softmax, be the 1 a Constant, or an initializer with the name that PyTorch gives numbers.
func TestTwoClassesOfASigmoid(t *testing.T) {
	for name, one := range map[string]float32{"initializer": 1, "constant": 1, "another number": 2} {
		inits, nodes := list(floats("w", []int64{2, 1}, 1, -2)), protos{}
		if c := floats("val_0", nil, one); name == "constant" {
			nodes = append(nodes, node("Constant", nil, list("val_0"), "value", c))
		} else {
			inits = append(inits, c)
		}
		nodes = append(nodes, node("MatMul", list("x", "w"), list("z")), node("Sigmoid", list("z"), list("p")), node("Sub", list("val_0", "p"), list("q")),
			node("Concat", list("q", "p"), list("y"), "axis", 1))
		net := build(t, model(17, list(input("x", "N", 2)), inits, nodes, "y"), 3, onnxload.Options{Dtype: tensor.Float64})
		if got := ops.EndsIn(net.Outputs[0], 1); (got == "Softmax") != (one == 1) {
			t.Errorf("%s: it ends in %q", name, got)
		}
		p := 1 / (1 + math.Exp(-5))
		if got := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: []float64{0, 0, 3, -1, 0, 0}}, net.Outputs...)[0]; !near(got[2], float64(one)-p, 1e-12) || !near(got[3], p, 1e-12) {
			t.Errorf("%s: probabilities %v", name, got)
		}
	}
}
