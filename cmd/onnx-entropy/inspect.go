package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

type inspectCmd struct {
	Model string `arg:"" help:"ONNX file, or the name of an embedded model."`
	JSON  bool   `name:"json" help:"Print one JSON object."`

	Parameters  bool `help:"List the parameters, with the names that --freeze and --trainable match."`
	outputFlag  `embed:""`
	freezeFlags `embed:""`
	graphFlags  `embed:""`
}

// inspection is what inspect shows.
type inspection struct {
	Model         string            `json:"model"`
	Producer      string            `json:"producer"`
	IRVersion     int               `json:"ir_version"`
	Opset         int               `json:"opset"`
	TrainingMode  bool              `json:"training_mode"`
	Inputs        []port            `json:"inputs"`
	Outputs       []port            `json:"outputs"`
	Layers        []layer           `json:"layers"`
	Head          *onnxload.Head    `json:"head"`           // null if there is no layer that train --head could replace
	Open          int               `json:"open,omitempty"` // size in the layers' shapes of what the file leaves open besides the batch
	Parameters    []parameter       `json:"parameters"`     // in file order, the frozen ones last
	Tensors       int               `json:"tensors"`        // trainable
	Weights       int               `json:"weights"`        // numbers in them
	Frozen        int               `json:"frozen"`         // tensors that --freeze holds still, not among the former
	FrozenWeights int               `json:"frozen_weights"`
	Statistics    int               `json:"statistics"` // running means and variances
	Warnings      []string          `json:"warnings"`
	Metadata      map[string]string `json:"metadata,omitempty"` // that this program has put there

	output string // the one of several that is meant
}

// port is an input or output; its shape is null if the file does not give the rank.
type port struct {
	Name  string   `json:"name"`
	Type  string   `json:"type"`
	Shape []string `json:"shape"`
}

func ports(vs []onnxload.ValueInfo) []port {
	ps := []port{}
	for _, v := range vs {
		ps = append(ps, port(v))
	}
	return ps
}

type layer struct {
	Name       string   `json:"name"`
	Op         string   `json:"op"`
	Shape      []string `json:"shape"` // of the output; N is the batch
	Parameters int      `json:"parameters"`
	Trainable  bool     `json:"trainable"`
}

// parameter is a tensor that is trained, or frozen.
type parameter struct {
	Name   string   `json:"name"`
	Layers []string `json:"layers"` // names of the nodes that read it
	Op     string   `json:"op"`     // operator that it is a weight of
	Shape  []int    `json:"shape"`
	Type   string   `json:"type"`
	Tied   bool     `json:"tied,omitempty"` // several layers compute with it
	Frozen bool     `json:"frozen,omitempty"`
	// Elsewhere tells that only other outputs than the one that is meant are computed from it; it is among the frozen ones.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// Run shows the model. What its file says is shown even if the graph cannot be built.
func (c *inspectCmd) Run(e *env) error {
	m, err := openModel(c.Model)
	if err != nil {
		return err
	}
	if err := c.bound(m); err != nil {
		return err
	}
	if err := c.choose(m); err != nil {
		return err
	}
	v := inspection{
		Model: m.label, Producer: m.Producer, IRVersion: m.IRVersion, Opset: m.Opset, TrainingMode: m.TrainingMode(),
		Inputs: ports(m.Inputs), Outputs: ports(m.Outputs), Layers: []layer{}, Parameters: []parameter{}, Warnings: append([]string{}, m.Warnings()...), Metadata: map[string]string{},
	}
	for k, s := range m.meta {
		if strings.HasPrefix(k, "onnx_entropy.") {
			v.Metadata[k] = s
		}
	}
	if h, err := m.Head(m.output); err == nil {
		v.Head = &h
	}
	problem := v.look(m, c.options())
	if c.JSON {
		enc := json.NewEncoder(e.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			return err
		}
		return problem
	}
	v.print(e, problem == nil, c.Parameters)
	return problem
}

// look builds the graph for two sizes of batch, which shows what of the shapes is the batch.
func (v *inspection) look(m *model, o onnxload.Options) error {
	two, size, err := m.buildOpen(2, o)
	if n, fixed := m.fixedBatch(); err != nil && fixed {
		two, size, err = m.buildOpen(n, o) // a node may depend on it
	}
	if err != nil {
		return err
	}
	v.Open, v.output = size, m.output
	three, _, err := m.buildOpen(3, o)
	if err != nil || len(three.Layers) != len(two.Layers) {
		three = two
	}
	for i, l := range two.Layers {
		v.Layers = append(v.Layers, layer{l.Name, l.Op, symbolic(l.OutShape, three.Layers[i].OutShape), l.Params, l.Trainable})
	}
	v.Tensors, v.Weights, v.Statistics, v.Frozen = len(two.Params), two.NumWeights(), two.NumRunning(), len(two.Frozen)
	v.FrozenWeights = two.NumFrozen()
	readers := m.Readers()
	for k, list := range [][]onnxload.Param{two.Params, two.Frozen} {
		for _, p := range list {
			v.Parameters = append(v.Parameters, parameter{p.Name, append([]string{}, readers[p.Name]...), p.Op, p.Shape, p.Type, p.Tied, k == 1, p.Elsewhere})
		}
	}
	return nil
}

// symbolic writes a shape with N for the batch, from the shapes for batches of 2 and of 3.
func symbolic(two, three []int) []string {
	s := []string{}
	for i, d := range two {
		switch {
		case len(three) == len(two) && three[i] == d:
			s = append(s, strconv.Itoa(d))
		case d == 2:
			s = append(s, "N")
		case d%2 == 0:
			s = append(s, strconv.Itoa(d/2)+"N")
		default:
			s = append(s, "?")
		}
	}
	return s
}

func (v *inspection) print(e *env, built, parameters bool) {
	mode := "inference"
	if v.TrainingMode {
		mode = "training"
	}
	producer := v.Producer
	if producer == "" {
		producer = "unknown"
	}
	e.printf("Model    %s: opset %d, IR version %d, %s mode, written by %s", v.Model, v.Opset, v.IRVersion, mode, producer)
	for _, in := range v.Inputs {
		e.printf("Input    %s", in)
	}
	for _, out := range v.Outputs {
		e.printf("Output   %s", out)
	}
	if built {
		e.printf("")
		rows := [][]string{{"Layer", "Operator", "Output", "Parameters", "Trainable"}}
		trainable := 0
		for _, l := range v.Layers {
			params, yes := "", ""
			if l.Parameters > 0 {
				params = report.Count(l.Parameters)
			}
			if l.Trainable {
				yes = "yes"
				trainable++
			}
			rows = append(rows, []string{l.Name, l.Op, strings.Join(l.Shape, "x"), params, yes})
		}
		fmt.Fprint(e.stdout, report.Table(rows, 3))
		if v.Open > 0 {
			e.printf("\nOpen     sizes that the file leaves to the data, besides the batch, are %d in the table", v.Open)
		}
		if parameters {
			e.printf("")
			fmt.Fprint(e.stdout, v.parameterTable())
		}
		e.printf("")
		e.printf("Total    %s, %d trainable; %s in %s; %s", report.Plural(len(v.Layers), "layer", "layers"), trainable,
			report.Plural(v.Weights, "weight", "weights"), report.Plural(v.Tensors, "tensor", "tensors"),
			report.Plural(v.Statistics, "running statistic", "running statistics"))
		if n, weights := v.held(true); n > 0 {
			e.printf("Others   %s in %s are for other outputs than %s only (--output NAME)", report.Plural(weights, "weight", "weights"), report.Plural(n, "tensor", "tensors"), v.output)
		}
		if n, weights := v.held(false); n > 0 {
			e.printf("Frozen   %s in %s", report.Plural(weights, "weight", "weights"), report.Plural(n, "tensor", "tensors"))
		}
	}
	if h := v.Head; h != nil {
		e.printf("Head     %s (%s): %s, %s; train --head K replaces it by a new one for K classes", h.Node, h.Op,
			report.Plural(h.Features, "feature", "features"), report.Plural(h.Classes, "class", "classes"))
	}
	for _, w := range v.Warnings {
		e.printf("Warning  %s", w)
	}
}

// held counts the tensors that are not trained, and their weights: those of other outputs, or the others.
func (v *inspection) held(elsewhere bool) (tensors, weights int) {
	for _, p := range v.Parameters {
		if p.Frozen && p.Elsewhere == elsewhere {
			tensors, weights = tensors+1, weights+product(p.Shape)
		}
	}
	return tensors, weights
}

func (v *inspection) parameterTable() string {
	rows := [][]string{{"Parameter", "Layer", "Operator", "Shape", "Type", ""}}
	for _, p := range v.Parameters {
		var notes []string
		switch {
		case p.Elsewhere:
			notes = append(notes, "of other outputs")
		case p.Frozen:
			notes = append(notes, "frozen")
		}
		if p.Tied {
			notes = append(notes, "tied")
		}
		rows = append(rows, []string{p.Name, cmp.Or(append(p.Layers, "")...), p.Op, report.Shape(p.Shape), p.Type, strings.Join(notes, ", ")})
	}
	return report.Table(rows)
}

func (v port) String() string {
	shape := strings.Join(v.Shape, "x")
	switch {
	case v.Shape == nil:
		shape = "of unknown rank"
	case shape == "":
		shape = "scalar"
	}
	return fmt.Sprintf("%s  %s %s", v.Name, v.Type, shape)
}
