package onnxload

import (
	"cmp"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Options say what graph Build makes.
type Options struct {
	// Training makes BatchNormalization use the statistics of the batch and Dropout drop, whatever mode the
	// file was exported in. Without it both do what they do in inference.
	Training bool
	// Dropout replaces the ratio of every Dropout node of a training graph, unless nil.
	Dropout *float64
	// Dtype is the element type of all floating-point nodes, tensor.Float32 (the default) or tensor.Float64.
	// Integers and bools are int64; inputs must hold numbers of the type that the file says.
	Dtype tensor.Dtype
	// Known holds values of graph inputs, which are then constants: shapes that another program computes,
	// for example.
	Known map[string]*tensor.Dense
	// Shapes holds full shapes of graph inputs. They win over the batch and over what the file says, except
	// for the rank.
	Shapes map[string][]int
	// Carry makes recurrent state something that the graph is given and gives back, Net.States: see there.
	Carry bool
	// Freeze and Trainable choose the parameters that are trained by patterns for their names, or for those of the
	// nodes that read them: all of them if both are empty; all but those that Freeze matches and Trainable does not; only
	// those that Trainable matches if Freeze is empty. In a pattern with *, ? or [ the star stands for any characters;
	// another matches the name itself and names that go on with ".", "/" or ":". One that matches nothing is an error.
	// What is not trained is in Net.Frozen; it costs no derivative, and keeps its bits in the exported file.
	Freeze, Trainable []string
	// Output is the name of the output that is trained. Parameters that it is not computed from, because they are those of
	// layers of other outputs, are in Net.Frozen, and running statistics of such layers stay as they are. "" trains what any
	// output is computed from.
	Output string
	// DropoutAfter has the ratios of dropout that a training graph inserts after the outputs of nodes of these names, or
	// after tensors of these names; the name of a node means its first output, and one that means several tensors is an error. The
	// file that is exported has no new node.
	DropoutAfter map[string]float64
	// FileStatistics lets a training graph normalise with the running statistics, BatchNormalization being an affine function
	// of each channel; else it takes the mini-batch's. Net.Stats is empty then.
	FileStatistics bool
	// LoopRounds is how many rounds are computed of a Loop that the data end and whose own bound is missing or larger; those behind the
	// end change nothing, and a run in which it would go on is an error. With 0 a Loop without a bound that can be unrolled is an
	// *UnsupportedError.
	LoopRounds int
	// MaxElements bounds the elements of each tensor of the graph; 0 stands for 2^31. A file of a few bytes
	// can ask for more memory than there is.
	MaxElements int
	// MaxMemory bounds the bytes that the model, its graph's constants and weights, and what runs the graph may take; 0
	// stands for DefaultMaxMemory. What a file asks for is added up from shapes, and if it is more, the error is a
	// *MemoryError. The data of the caller do not count.
	MaxMemory int64
}

// A Net is the graph of a model for one batch size. Weights and running statistics are not in it: they are two
// flat vectors, and graph inputs stand for ranges of them.
type Net struct {
	Graph *gorgonia.ExprGraph
	// Inputs are the inputs that have no value in the file, and Outputs the outputs, in file order. An output
	// that is a running statistic of BatchNormalization is left out.
	Inputs, Outputs []*gorgonia.Node
	OutputNames     []string
	// OutputTypes are the ONNX element types of Outputs, such as FLOAT16 or BOOL. The nodes have float32 or
	// float64 for all types of floats, and int64 for integers and bools.
	OutputTypes []string
	Batch       int
	// Random tells that the graph draws random numbers: it drops, or has an operator such as RandomNormal.
	Random  bool
	Params  []Param  // trainable tensors; together they are the flat vector of weights
	Frozen  []Param  // tensors that would be trained but for Options.Freeze and Output; together they are another vector
	Buffers []Buffer // running statistics; together they are the flat vector of running statistics
	Stats   []Stat   // what a training graph measures for the buffers
	// States are what a graph built with Options.Carry remembers from one window of a sequence to the next, in
	// file order: the state of each LSTM, GRU and RNN of one direction that begins with zeros, and what the file
	// itself takes and gives as states, which are not among Inputs then.
	States []State
	// Consts are graph inputs that never change and are the only ones with a bound value.
	Consts []*gorgonia.Node
	Layers []Layer // the nodes of the graph in order; folded shape arithmetic is left out

	model *Model
	opts  Options
	names map[int64]string // of ONNX nodes by Gorgonia node
	edits []rewire
	held  int64 // see Memory
}

// A Param is a trainable tensor.
type Param struct {
	Name     string
	Shape    []int
	From, To int            // its range in the flat vector of weights, row-major
	Node     *gorgonia.Node // the graph input that stands for it
	Decay    bool           // whether weight decay makes sense: not for biases and normalisation
	Op       string         // operator it is a weight of, or else the first that uses it
	Type     string         // element type in the file
	// Tied tells that several layers compute with it, or one does in two places, be it through nodes that only arrange its
	// numbers.
	Tied bool
	// Elsewhere tells that it is not trained because only other outputs than Options.Output are computed from it.
	Elsewhere bool

	src *source
}

// A Buffer is a running mean or variance.
type Buffer struct {
	Name     string
	Shape    []int
	From, To int            // its range in the flat vector of running statistics
	Node     *gorgonia.Node // nil in a training graph

	src  *source
	at   slot
	own  bool // whether src is its place in the file; otherwise export adds a tensor for it
	mean bool
}

// A Stat is what one BatchNormalization of a training graph measures.
type Stat struct {
	Node      *gorgonia.Node // shape (2, C): mean and biased variance of the batch
	Mean, Var int            // the buffers they are for, as indices of Net.Buffers
	Count     int            // elements a channel in the batch
	Unbiased  bool           // below opset 14 the running variance is the unbiased one, Count/(Count-1) as large
	Momentum  float64        // weight of the old value in ONNX's update
	Layer     string         // name of the ONNX node
}

// A State is a recurrent state in front of a window and behind it.
type State struct {
	Name    string         // of the input of the file, or else of the node and its input
	In, Out *gorgonia.Node // of one shape; the batch is an axis of it, mostly the second
}

// A Layer is a node of the file that became a part of the graph.
type Layer struct {
	Name      string
	Op        string
	Opset     int
	OutShape  []int
	Params    int  // numbers that no earlier layer uses and that are trained, or are frozen
	Trainable bool // whether it uses numbers that are trained
}

// NodeName returns the name of the ONNX node that n computes, or is a step of; "" if there is none.
func (n *Net) NodeName(node *gorgonia.Node) string { return n.names[node.ID()] }

// Model returns the model that the net was built from.
func (n *Net) Model() *Model { return n.model }

// Options returns the options that the net was built with.
func (n *Net) Options() Options { return n.opts }

// NumWeights returns the length of the flat vector of weights.
func (n *Net) NumWeights() int {
	if len(n.Params) == 0 {
		return 0
	}
	return n.Params[len(n.Params)-1].To
}

// NumRunning returns the length of the flat vector of running statistics.
func (n *Net) NumRunning() int {
	if len(n.Buffers) == 0 {
		return 0
	}
	return n.Buffers[len(n.Buffers)-1].To
}

// NumFrozen returns the length of the vector of frozen weights.
func (n *Net) NumFrozen() int {
	if len(n.Frozen) == 0 {
		return 0
	}
	return n.Frozen[len(n.Frozen)-1].To
}

// Output returns the number of the output that Options.Output names, or 0.
func (n *Net) Output() int { return max(0, slices.Index(n.OutputNames, n.opts.Output)) }

// FrozenWeights returns the frozen weights of the file as a new flat vector.
func (n *Net) FrozenWeights() []float32 {
	w := make([]float32, n.NumFrozen())
	for _, p := range n.Frozen {
		p.src.tensor.ReadFloats(w[p.From:p.To])
	}
	return w
}

// Weights returns the weights of the file as a new flat vector.
func (n *Net) Weights() []float32 {
	w := make([]float32, n.NumWeights())
	for _, p := range n.Params {
		p.src.tensor.ReadFloats(w[p.From:p.To]) // Parse has checked that they are there
	}
	return w
}

// Running returns the running statistics of the file as a new flat vector.
func (n *Net) Running() []float32 {
	w := make([]float32, n.NumRunning())
	for _, b := range n.Buffers {
		b.src.tensor.ReadFloats(w[b.From:b.To])
	}
	return w
}

// finish orders the parameters and buffers as the file does and gives them their ranges.
func (b *builder) finish() error {
	ends := b.model.ends()
	arrange(b.net.Params, ends)
	arrange(b.net.Frozen, ends)
	for _, p := range b.net.Params {
		if err := b.splitConstant(p.src); err != nil {
			return err
		}
	}
	if err := b.selected.check(); err != nil {
		return err
	}
	if err := b.checkWeights(); err != nil {
		return err
	}
	return b.finishBuffers()
}

// arrange orders parameters as the file does and gives them their ranges; ends are those of the model.
func arrange(ps []Param, ends map[string]slot) {
	slices.SortStableFunc(ps, func(p, q Param) int { return p.src.compare(q.src) })
	at := 0
	for i := range ps {
		p := &ps[i]
		p.From, p.To = at, at+p.src.size()
		at = p.To
		s := p.src
		p.Decay, p.Op, p.Type, p.Tied = s.role.decay(len(p.Shape)), s.op, s.typeName(), ends[s.name] == several || s.several
	}
}

// splitConstant deals with an initializer that is a weight in one place and a constant, such as a bound of
// Clip, in another, which exporters make of equal numbers: export gives the second place a copy.
func (b *builder) splitConstant(s *source) error {
	for _, h := range s.hostUses.list {
		if h.input < 0 {
			return b.errorAt(h.node, "inside its body %q is needed as a constant, and elsewhere it is trained; export with do_constant_folding=False", s.name)
		}
		if s.nodeUses.seen[h] {
			return b.errorAt(h.node, "its input %q is needed both as a weight and as a constant; export with do_constant_folding=False", s.name)
		}
		b.net.edits = append(b.net.edits, rewire{at: h, name: b.unique(s.name + ".const"), src: s, constant: true})
	}
	return nil
}

// finishBuffers gives each BatchNormalization buffers of its own. Exporters merge tensors that are equal, and
// in a fresh network all running means are, and equal the biases; but statistics of two layers differ as
// soon as one is trained. The first that uses an initializer keeps it, unless it is a weight; export writes
// a new initializer for each of the others.
func (b *builder) finishBuffers() error {
	n := b.net
	taken := map[*source]bool{}
	for _, p := range slices.Concat(n.Params, n.Frozen) {
		taken[p.src] = true
	}
	order := make([]int, len(n.Buffers))
	for i := range n.Buffers {
		f := &n.Buffers[i]
		order[i] = i
		if f.own = !taken[f.src] && len(f.src.hostUses.list) == 0; f.own {
			taken[f.src] = true
			f.Name = f.src.name
		} else if f.at.input < 0 {
			return b.errorAt(f.at.node, "inside its body the running statistics %q are those of another layer too; inline the functions with "+
				"onnx.inliner.inline_local_functions", f.src.name)
		} else {
			f.Name = b.bufferName(f)
			n.edits = append(n.edits, rewire{at: f.at, name: f.Name, src: f.src, buffer: i + 1})
		}
	}
	slices.SortStableFunc(order, func(i, j int) int {
		return cmp.Or(n.Buffers[i].src.compare(n.Buffers[j].src), cmp.Compare(i, j))
	})
	place := make([]int, len(order)) // where buffer i went
	sorted := make([]Buffer, len(order))
	at := 0
	for k, i := range order {
		f := n.Buffers[i]
		f.From, f.To = at, at+f.src.size()
		at = f.To
		sorted[k], place[i] = f, k
	}
	n.Buffers = sorted
	for i := range n.Stats {
		n.Stats[i].Mean, n.Stats[i].Var = place[n.Stats[i].Mean], place[n.Stats[i].Var]
	}
	for i := range n.edits {
		if k := n.edits[i].buffer; k > 0 {
			n.edits[i].buffer = place[k-1] + 1
		}
	}
	return nil
}

// bufferName names a buffer that cannot keep its initializer: as the input of its node, if an Identity node
// gave that a name of its own, as PyTorch does where it merged tensors.
func (b *builder) bufferName(f *Buffer) string {
	n := b.model.proto.Graph.Node[f.at.node]
	name := n.Input[f.at.input]
	i, computed := b.model.info.producer[name]
	if computed && b.model.proto.Graph.Node[i].GetOpType() == "Identity" && len(b.model.readers(name)) == 1 {
		return name
	}
	kind := ".running_var"
	if f.mean {
		kind = ".running_mean"
	}
	return b.unique(shownName(n, f.at.node) + kind)
}
