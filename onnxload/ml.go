package onnxload

import (
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// mlDomain is that of ONNX's operators for classical machine learning, which skl2onnx writes.
const mlDomain = "ai.onnx.ml"

// mlOperators are those of mlDomain that occur around networks, and the linear models. What skl2onnx writes is meant; all are
// version 1, and were compared with onnxruntime.
var mlOperators = map[string]operator{
	"ArrayFeatureExtractor": {inputs: 2, most: 2, graph: arrayFeatureExtractor, fold: true},
	"LinearRegressor":       {inputs: 1, most: 1, graph: linearRegressor},
	"LinearClassifier":      {inputs: 1, most: 1, graph: linearClassifier},
	"Scaler":                {inputs: 1, most: 1, graph: scaler},
	"Normalizer":            {inputs: 1, most: 1, graph: normalizer},
	"Imputer":               {inputs: 1, most: 1, graph: imputer},
	"Binarizer":             {inputs: 1, most: 1, graph: binarizer},
	"FeatureVectorizer":     {inputs: 1, most: -1, graph: featureVectorizer},
	"ZipMap":                {inputs: 1, most: 1, expand: zipMap},
}

// mlReason says what to do about an operator of mlDomain that is not supported.
func mlReason(op string) string {
	switch op {
	case "OneHotEncoder", "LabelEncoder", "CategoryMapper", "DictVectorizer":
		return "steps on categories before a network are not supported; convert the last step of the pipeline alone and do this one to the data"
	}
	return fmt.Sprintf("of domain %q only linear models, networks and steps that scale and fill in numbers are supported", mlDomain)
}

// arrayFeatureExtractor is ArrayFeatureExtractor of ai.onnx.ml 1: the elements Y of X's last axis, Y of any shape read as a
// list. A vector X gives one row.
func arrayFeatureExtractor(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	index, err := c.integers(1)
	if err != nil {
		return err
	}
	n := index.Shape().TotalSize()
	if index, err = ops.Reshape(index, []int{n}); err != nil {
		return err
	}
	if x.Dims() == 0 {
		return fmt.Errorf("an input without axes, from which nothing can be taken")
	}
	y, err := ops.Gather(x, index, x.Dims()-1)
	if err == nil && x.Dims() == 1 {
		y, err = ops.Reshape(y, []int{1, n})
	}
	return c.set(0, y, err)
}

// linearRegressor is LinearRegressor: x coefficients' + intercepts, with coefficients of shape (targets, features).
func linearRegressor(c *nodeCtx) error {
	targets, err := c.int("targets", 1)
	if err != nil {
		return err
	}
	x, err := c.rows()
	if err != nil {
		return err
	}
	m, err := c.linear(x.Shape()[1], targets, false)
	if err != nil {
		return err
	}
	y, err := m.scores(x, false)
	if err != nil {
		return err
	}
	if y, err = c.transformed(y); err != nil {
		return err
	}
	return c.setAs(0, elemFLOAT, y, nil)
}

// linearClassifier is LinearClassifier: the label with the highest score, and the scores after post_transform.
//
// Logistic regression of two classes has one row of coefficients, w, and comes as the two rows -w and w, of which LOGISTIC makes
// probabilities that sum up to 1 only as long as one row is the negative of the other. So w is the weight that is trained, and -w
// follows in the file. The probabilities 1-p and p are computed as the Softmax of 0 and of w's score, which they are.
func linearClassifier(c *nodeCtx) error {
	labels, err := c.classLabels()
	if err != nil {
		return err
	}
	transform, err := c.string("post_transform", "NONE")
	if err != nil {
		return err
	}
	x, err := c.rows()
	if err != nil {
		return err
	}
	m, err := c.linear(x.Shape()[1], len(labels), true)
	if err != nil {
		return err
	}
	one := len(labels) == 2 && len(m.coefficients) == x.Shape()[1]
	if one && transform != "LOGISTIC" {
		return unsupportedf("one row of coefficients for two classes with post_transform %q; LOGISTIC is supported", transform)
	}
	one = one || len(labels) == 2 && transform == "LOGISTIC" && m.opposite()
	scores, err := m.scores(x, one)
	if err != nil {
		return err
	}
	if one {
		if scores, err = c.behindZeros(scores); err != nil {
			return err
		}
	}
	y := scores
	if one {
		y, err = ops.Softmax(y, 1)
	} else {
		y, err = c.transformed(y)
	}
	if err == nil && len(c.out) > 1 {
		err = c.setAs(1, elemFLOAT, y, nil)
	}
	if err != nil || c.out[0] == nil {
		return err
	}
	if c.attr("classlabels_strings") != nil {
		c.out[0].makeText()
		return nil
	}
	best, err := ops.Arg(scores, 1, false, true, false)
	if err != nil {
		return err
	}
	table, err := c.b.constNode(c.b.unique(attributeName(c.n, c.index, "classlabels_ints")), &host{elem: elemINT64, shape: []int{len(labels)}, i: labels})
	if err != nil {
		return err
	}
	label, err := ops.Gather(table, best, 0)
	return c.setAs(0, elemINT64, label, err)
}

// classLabels returns the classes of LinearClassifier, or numbers in the place of names.
func (c *nodeCtx) classLabels() ([]int64, error) {
	if a, err := c.attrOf("classlabels_ints", onnxpb.AttributeProto_INTS); err != nil || a != nil && len(a.Ints) > 0 {
		if err != nil || len(a.Ints) < 2 {
			return nil, cmpError(err, "one class; at least two are needed")
		}
		return a.Ints, nil
	}
	names, err := c.strings("classlabels_strings")
	if err != nil || len(names) < 2 {
		return nil, cmpError(err, "it names no classes in classlabels_ints or classlabels_strings")
	}
	return make([]int64, len(names)), nil
}

func cmpError(err error, otherwise string) error {
	if err == nil {
		err = fmt.Errorf("%s", otherwise)
	}
	return err
}

// rows returns the only input as floats of shape (samples, features).
func (c *nodeCtx) rows() (*gorgonia.Node, error) {
	x, err := c.floating(0)
	if err != nil {
		return nil, err
	}
	switch x.Dims() {
	case 1:
		return ops.Reshape(x, []int{1, x.Shape()[0]})
	case 2:
		return x, nil
	}
	return nil, fmt.Errorf("its input %q has shape %v; (samples, features) is needed", c.in[0].name, x.Shape())
}

// floating returns input i as floats, whatever numbers it holds.
func (c *nodeCtx) floating(i int) (*gorgonia.Node, error) {
	x, err := c.any(i)
	if err != nil || x.Dtype() != tensor.Int64 {
		return x, err
	}
	return ops.Convert(x, c.b.opts.Dtype)
}

// linearModel is what LinearRegressor and LinearClassifier have in common. Its numbers are attributes of the node.
type linearModel struct {
	c                        *nodeCtx
	features, targets        int
	coefficients, intercepts []float32 // the latter may be nil
}

// linear reads the node's attributes. orOne tells that for two targets one row of coefficients will do.
func (c *nodeCtx) linear(features, targets int, orOne bool) (*linearModel, error) {
	if features < 1 {
		return nil, fmt.Errorf("its input %q has %d features; at least one is needed", c.in[0].name, features)
	}
	m := &linearModel{c: c, features: features, targets: targets}
	for _, l := range []struct {
		name string
		to   *[]float32
		each int
	}{{"coefficients", &m.coefficients, features}, {"intercepts", &m.intercepts, 1}} {
		a, err := c.attrOf(l.name, onnxpb.AttributeProto_FLOATS)
		if err != nil {
			return nil, err
		}
		if a == nil && l.name == "intercepts" {
			break
		}
		n := len(a.GetFloats())
		// The targets may be millions, so that they are not multiplied before they are known to be few.
		if n == 0 || n%l.each != 0 || n/l.each != targets && !(orOne && targets == 2 && n == l.each) {
			return nil, fmt.Errorf("its attribute %q has %d numbers for %d features and %d targets", l.name, n, features, targets)
		}
		*l.to = a.Floats
	}
	if m.intercepts != nil && len(m.intercepts)*features != len(m.coefficients) {
		return nil, fmt.Errorf("it has %d coefficients and %d intercepts for %d features", len(m.coefficients), len(m.intercepts), features)
	}
	return m, nil
}

// opposite tells whether the second of two rows is the negative of the first.
func (m *linearModel) opposite() bool {
	for _, x := range [][]float32{m.coefficients, m.intercepts} {
		for i, v := range x[:len(x)/2] {
			if v != -x[len(x)/2+i] {
				return false
			}
		}
	}
	return true
}

// scores is x coefficients' + intercepts; of the last row of coefficients alone if one.
func (m *linearModel) scores(x *gorgonia.Node, one bool) (*gorgonia.Node, error) {
	rows := len(m.coefficients) / m.features
	opposite := one && rows == 2
	if one {
		rows = 1
	}
	w, err := m.c.attributeWeight("coefficients", []int{rows, m.features}, m.coefficients, opposite, role{roleWeight, m.features})
	if err != nil {
		return nil, err
	}
	var bias *gorgonia.Node
	if m.intercepts != nil {
		if bias, err = m.c.attributeWeight("intercepts", []int{rows}, m.intercepts, opposite, role{roleBias, m.features}); err != nil {
			return nil, err
		}
	}
	return ops.Gemm(x, w, bias, 1, 1, false, true)
}

// attributeWeight returns numbers of an attribute of the node as a weight. If opposite, the attribute holds the weight and, in
// front of it, its negative.
func (c *nodeCtx) attributeWeight(name string, shape []int, x []float32, opposite bool, r role) (*gorgonia.Node, error) {
	t := &onnxpb.TensorProto{DataType: proto.Int32(elemFLOAT), FloatData: x[len(x)-product(shape):]}
	for _, d := range shape {
		t.Dims = append(t.Dims, int64(d))
	}
	s := sourceOf(c.b.unique(attributeName(c.n, c.index, name)), t, -1, c.index)
	s.attribute, s.opposite = name, opposite
	if c.scope != nil {
		s.constant = -1 // not written into bodies, so not trained
	}
	n, err := c.b.fromFile(s).graphNode(true)
	if err != nil {
		return nil, err
	}
	s.role, s.op = r, c.n.GetOpType()
	s.nodeUses.add(slot{c.index, -1})
	c.own = append(c.own, s)
	return n, nil
}

// attributeName is the name of the weight that an attribute of node i holds.
func attributeName(n *onnxpb.NodeProto, i int, attribute string) string {
	return shownName(n, i) + "." + attribute
}

// attributeWeights returns the names of the weights in attributes of node i.
func (m *Model) attributeWeights(i int) []string {
	n := m.proto.Graph.Node[i]
	if op := n.GetOpType(); n.GetDomain() != mlDomain || op != "LinearRegressor" && op != "LinearClassifier" {
		return nil
	}
	return []string{attributeName(n, i, "coefficients"), attributeName(n, i, "intercepts")}
}

// transformed is y after the node's post_transform.
func (c *nodeCtx) transformed(y *gorgonia.Node) (*gorgonia.Node, error) {
	switch t, err := c.string("post_transform", "NONE"); {
	case err != nil:
		return nil, err
	case t == "NONE":
		return y, nil
	case t == "LOGISTIC":
		return ops.Sigmoid(y)
	case t == "SOFTMAX":
		return ops.Softmax(y, 1)
	default:
		return nil, unsupportedf("post_transform %q; NONE, LOGISTIC and SOFTMAX are supported", t)
	}
}

// perFeature returns an attribute of floats as a node that is broadcast over samples: one number, or one for each of n features.
func (c *nodeCtx) perFeature(name string, n int) (*gorgonia.Node, error) {
	x, err := c.floats(name)
	if err != nil {
		return nil, err
	}
	if len(x) != 1 && len(x) != n {
		return nil, fmt.Errorf("its attribute %q has %d numbers for %d features", name, len(x), n)
	}
	return c.b.constNode(c.b.unique(attributeName(c.n, c.index, name)), &host{elem: elemFLOAT, shape: []int{len(x)}, f: x})
}

// scaler is Scaler: (x - offset) scale. Both are what the data were like, and are not trained.
func scaler(c *nodeCtx) error {
	x, err := c.rows()
	if err != nil {
		return err
	}
	offset, err := c.perFeature("offset", x.Shape()[1])
	if err != nil {
		return err
	}
	scale, err := c.perFeature("scale", x.Shape()[1])
	if err != nil {
		return err
	}
	if x, err = ops.Sub(x, offset); err != nil {
		return err
	}
	y, err := ops.Mul(x, scale)
	return c.setAs(0, elemFLOAT, y, err)
}

// normalizer is Normalizer with the norms L1 and L2: each row divided by its norm, or as it is if that is 0. What Softmax has made
// sums up to 1 already, as the probabilities of a LinearClassifier.
func normalizer(c *nodeCtx) error {
	norm, err := c.string("norm", "MAX")
	if err != nil {
		return err
	}
	p := map[string]float64{"L1": 1, "L2": 2}[norm]
	if p == 0 {
		return unsupportedf("norm %q; L1 and L2 are supported", norm)
	}
	x, err := c.rows()
	if err != nil {
		return err
	}
	if ops.EndsIn(x, 1) != "Softmax" || norm != "L1" {
		x, err = ops.LpNormalization(x, 1, p)
	}
	return c.setAs(0, elemFLOAT, x, err)
}

// imputer is Imputer for floats: imputed_value_floats in the place of replaced_value_float.
func imputer(c *nodeCtx) error {
	x, err := c.rows()
	if err != nil {
		return err
	}
	if c.attr("imputed_value_floats") == nil {
		return unsupportedf("it replaces integers; imputed_value_floats is supported")
	}
	value, err := c.perFeature("imputed_value_floats", x.Shape()[1])
	if err != nil {
		return err
	}
	old, err := c.float("replaced_value_float", 0)
	if err != nil {
		return err
	}
	is, err := ops.Test("Replaced", x, func(v float64) bool { return v == old || math.IsNaN(v) && math.IsNaN(old) })
	if err != nil {
		return err
	}
	y, err := ops.Where(is, value, x)
	return c.setAs(0, elemFLOAT, y, err)
}

// binarizer is Binarizer: 1 where x is greater than the threshold, else 0.
func binarizer(c *nodeCtx) error {
	threshold, err := c.float("threshold", 0)
	if err != nil {
		return err
	}
	x, err := c.floating(0)
	if err != nil {
		return err
	}
	y, err := ops.Test("Binarizer", x, func(v float64) bool { return v > threshold })
	if err == nil {
		y, err = ops.Convert(y, c.b.opts.Dtype)
	}
	return c.setAs(0, elemFLOAT, y, err)
}

// featureVectorizer is FeatureVectorizer: its inputs side by side.
func featureVectorizer(c *nodeCtx) error {
	sizes, err := c.ints("inputdimensions")
	if err != nil {
		return err
	}
	var xs []*gorgonia.Node
	for i := range c.in {
		x, err := c.floating(i)
		if err != nil {
			return err
		}
		if x.Dims() != 2 || i < len(sizes) && x.Shape()[1] != sizes[i] {
			return fmt.Errorf("its input %q has shape %v; (samples, features) is needed, with inputdimensions %v", c.in[i].name, x.Shape(), sizes)
		}
		xs = append(xs, x)
	}
	if len(xs) == 1 {
		return c.setAs(0, elemFLOAT, xs[0], nil)
	}
	y, err := ops.Concat(1, xs...)
	return c.setAs(0, elemFLOAT, y, err)
}

// zipMap is ZipMap, which gives each sample's row a map from classes to its numbers: here it stays a row.
func zipMap(c *nodeCtx) error {
	if c.in[0].missing != "" {
		return unsupportedf("its input %q: %s", c.in[0].name, c.in[0].missing)
	}
	if c.out[0] != nil {
		c.out[0].alias(c.in[0])
	}
	return nil
}

// makeText makes v a value of strings. They are not computed with; outputs of the graph that are strings are left out.
func (v *value) makeText() {
	*v = value{name: v.name, missing: "it is made of strings, which are not computed with", text: true}
}

// textIn tells whether the node reads strings, or looks them up, and its outputs are left out therefore.
func (c *nodeCtx) textIn() bool {
	return slices.ContainsFunc(c.in, func(v *value) bool { return v != nil && v.text }) ||
		c.n.GetDomain() == mlDomain && c.n.GetOpType() == "LabelEncoder" && (c.attr("values_strings") != nil || c.attr("classes_strings") != nil)
}

// behindZeros returns z, of shape (samples, 1), behind a column of zeros: the logits of two classes.
func (c *nodeCtx) behindZeros(z *gorgonia.Node) (*gorgonia.Node, error) {
	n := z.Shape()[0]
	zero, err := c.b.constNode(c.b.unique(attributeName(c.n, c.index, "zero")), &host{elem: elemFLOAT, shape: []int{n, 1}, f: make([]float64, n)})
	if err != nil {
		return nil, err
	}
	return ops.Concat(1, zero, z)
}

// pair is the Concat that complement has recognised.
func (c *nodeCtx) pair(z *value) error {
	y, err := c.behindZeros(z.node)
	if err == nil {
		y, err = ops.Softmax(y, 1)
	}
	return c.set(0, y, err)
}

// complement returns what the two inputs of a Concat are the logits of, if they are 1-p and p with p the Sigmoid of one number a
// sample: the probabilities of two classes, as skl2onnx writes a network's. They are the Softmax of 0 and that number.
func (c *nodeCtx) complement() *value {
	if c.scope != nil || len(c.n.Input) != 2 {
		return nil
	}
	made := func(name, op string) *onnxpb.NodeProto {
		i, ok := c.b.model.info.producer[name]
		if n := c.b.model.proto.Graph.Node; ok && n[i].GetOpType() == op && c.b.model.isDefault(n[i]) {
			return n[i]
		}
		return nil
	}
	rest, p := made(c.n.Input[0], "Sub"), made(c.n.Input[1], "Sigmoid")
	if rest == nil || p == nil || len(rest.Input) != 2 || len(p.Input) != 1 || rest.Input[1] != c.n.Input[1] {
		return nil
	}
	one, z := c.b.values[rest.Input[0]], c.b.values[p.Input[0]]
	if one == nil || !one.constant() || slices.ContainsFunc(one.roots, func(s *source) bool { return s.trainable(false) }) || z == nil || z.constant() || z.node == nil || z.node.Dims() != 2 || z.node.Shape()[1] != 1 {
		return nil
	}
	h, err := one.numbers()
	if err != nil {
		return nil
	}
	if v, err := h.scalar(); err != nil || v != 1 {
		return nil
	}
	return z
}
