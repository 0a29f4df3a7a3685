package onnxload_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// A mutator makes files out of others: it changes messages whatever they are, and bytes.
type mutator struct {
	corpus [][]byte
	rng    *rand.Rand
	parts  map[protoreflect.FullName][]protoreflect.Message // of the corpus, to be put elsewhere
	names  []string                                         // of the model at hand
}

func newMutator(corpus [][]byte) *mutator {
	m := &mutator{corpus: corpus, parts: map[protoreflect.FullName][]protoreflect.Message{}}
	for _, b := range corpus {
		p := new(onnxpb.ModelProto)
		if proto.Unmarshal(b, p) != nil {
			continue
		}
		for _, part := range messages(p.ProtoReflect(), nil) {
			name := part.Descriptor().FullName()
			if len(m.parts[name]) < 2000 {
				m.parts[name] = append(m.parts[name], part)
			}
		}
	}
	return m
}

// messages appends m and all messages in it to list.
func messages(m protoreflect.Message, list []protoreflect.Message) []protoreflect.Message {
	list = append(list, m)
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				list = messages(v.List().Get(i).Message(), list)
			}
		default:
			list = messages(v.Message(), list)
		}
		return true
	})
	return list
}

// file is mutation number n.
func (m *mutator) file(n uint64) []byte {
	m.rng = rand.New(rand.NewPCG(n, 1))
	b := m.corpus[m.rng.IntN(len(m.corpus))]
	if m.rng.IntN(8) == 0 {
		return m.bytes(b)
	}
	p := new(onnxpb.ModelProto)
	if proto.Unmarshal(b, p) != nil {
		return m.bytes(b)
	}
	m.names = nil
	for _, x := range messages(p.ProtoReflect(), nil) {
		if n, ok := x.Interface().(*onnxpb.NodeProto); ok {
			m.names = append(append(append(m.names, n.Input...), n.Output...), n.GetOpType())
		}
	}
	for range 1 + min(m.rng.IntN(4), m.rng.IntN(4)) {
		all := messages(p.ProtoReflect(), nil)
		if len(all) > 5000 {
			break
		}
		m.message(all[m.rng.IntN(len(all))], all)
	}
	out := must(proto.MarshalOptions{AllowPartial: true}.Marshal(p))
	if m.rng.IntN(20) == 0 {
		return m.bytes(out)
	}
	return out
}

// bytes changes bytes of a file: single ones, ranges, or the fields of which it consists.
func (m *mutator) bytes(b []byte) []byte {
	b = slices.Clone(b)
	for range 1 + m.rng.IntN(4) {
		if len(b) < 4 {
			return b
		}
		at := m.rng.IntN(len(b))
		to := at + m.rng.IntN(min(64, len(b)-at))
		switch m.rng.IntN(7) {
		case 0:
			b[at] ^= 1 << m.rng.IntN(8)
		case 1:
			b[at] = byte(m.rng.Uint32())
		case 2:
			b = b[:at]
		case 3:
			b = slices.Delete(b, at, to)
		case 4:
			b = slices.Insert(b, m.rng.IntN(len(b)), b[at:to]...)
		case 5:
			other := m.corpus[m.rng.IntN(len(m.corpus))]
			from := m.rng.IntN(len(other))
			b = slices.Insert(b, at, other[from:min(len(other), from+m.rng.IntN(200))]...)
		default:
			b = slices.Insert(b, at, protowire.AppendVarint(nil, m.rng.Uint64()>>m.rng.IntN(64))...)
		}
	}
	return b
}

// message changes a field of x, which is one of all messages of the model.
func (m *mutator) message(x protoreflect.Message, all []protoreflect.Message) {
	fields := x.Descriptor().Fields()
	f := fields.Get(m.rng.IntN(fields.Len()))
	if m.rng.IntN(4) > 0 { // mostly one that is there
		var there []protoreflect.FieldDescriptor
		x.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool { there = append(there, f); return true })
		if len(there) > 0 {
			slices.SortFunc(there, func(a, b protoreflect.FieldDescriptor) int { return int(a.Number() - b.Number()) })
			f = there[m.rng.IntN(len(there))]
		}
	}
	if m.rng.IntN(8) == 0 {
		x.Clear(f)
		return
	}
	if !f.IsList() {
		if v, ok := m.value(x, f, all); ok {
			x.Set(f, v)
		}
		return
	}
	l := x.Mutable(f).List()
	n := l.Len()
	switch m.rng.IntN(7) {
	case 0: // drop
		if n > 0 {
			at := m.rng.IntN(n)
			for i := at; i < n-1; i++ {
				l.Set(i, l.Get(i+1))
			}
			l.Truncate(n - 1)
		}
	case 1: // twice
		if n > 0 {
			l.Append(l.Get(m.rng.IntN(n)))
		}
	case 2: // another order
		if n > 1 {
			i, j := m.rng.IntN(n), m.rng.IntN(n)
			a, b := l.Get(i), l.Get(j)
			l.Set(i, b)
			l.Set(j, a)
		}
	case 3: // one more
		if v, ok := m.value(x, f, all); ok {
			l.Append(v)
		}
	case 4:
		l.Truncate(m.rng.IntN(n + 1))
	default:
		if n > 0 {
			if v, ok := m.value(x, f, all); ok {
				l.Set(m.rng.IntN(n), v)
			}
		}
	}
}

var edges = []int64{0, 1, -1, 2, 3, 4, 5, 7, 8, 10, 11, 13, 16, -2, -3, 64, 255, 1000, 1 << 16, 1<<20 - 1, 1 << 24, 1 << 31, 1<<31 - 1, 1 << 32, 1 << 40, 1 << 62, math.MaxInt64, math.MinInt64, -1 << 40}

// value is a new value for a field.
func (m *mutator) value(x protoreflect.Message, f protoreflect.FieldDescriptor, all []protoreflect.Message) (protoreflect.Value, bool) {
	edge := edges[m.rng.IntN(len(edges))]
	switch f.Kind() {
	case protoreflect.MessageKind:
		from := m.parts[f.Message().FullName()]
		if m.rng.IntN(3) == 0 { // of the model itself, which nests and makes circles
			from = slices.DeleteFunc(slices.Clone(all), func(p protoreflect.Message) bool { return p.Descriptor() != f.Message() })
		}
		if len(from) == 0 {
			return x.NewField(f), !f.IsList()
		}
		c := proto.Clone(from[m.rng.IntN(len(from))].Interface())
		if proto.Size(c) > 1<<16 {
			return protoreflect.Value{}, false
		}
		return protoreflect.ValueOfMessage(c.ProtoReflect()), true
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(m.text()), true
	case protoreflect.BytesKind:
		b := []byte(m.text())
		if old := x.Get(f); !f.IsList() && m.rng.IntN(2) == 0 {
			b = slices.Clone(old.Bytes())
			for i := range b {
				if m.rng.IntN(8) == 0 {
					b[i] = byte(m.rng.Uint32())
				}
			}
			if m.rng.IntN(3) == 0 {
				b = b[:m.rng.IntN(len(b)+1)]
			}
		}
		return protoreflect.ValueOfBytes(b), true
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(m.rng.IntN(30) - 2)), true
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(m.float())), true
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(m.float()), true
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(edge)), true
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(edge), true
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(edge)), true
	}
	return protoreflect.Value{}, false
}

func (m *mutator) float() float64 {
	list := []float64{0, 1, -1, 0.5, math.NaN(), math.Inf(1), math.Inf(-1), 1e-30, 1e30, -1e30, 3}
	return list[m.rng.IntN(len(list))]
}

// text is mostly a name of the model.
func (m *mutator) text() string {
	switch k := m.rng.IntN(10); {
	case k < 5 && len(m.names) > 0:
		return m.names[m.rng.IntN(len(m.names))]
	case k < 8:
		ops := m.parts["onnxentropy.NodeProto"]
		if len(ops) > 0 {
			n := ops[m.rng.IntN(len(ops))].Interface().(*onnxpb.NodeProto)
			if len(n.Attribute) > 0 && k == 7 {
				a := n.Attribute[m.rng.IntN(len(n.Attribute))]
				return a.GetName() + string(a.GetS())
			}
			return n.GetOpType()
		}
	}
	list := []string{"", "x", "ai.onnx", "\xff\xfe", "../w.bin", "/etc/passwd", "w.bin", strings.Repeat("long", 300), "NaN", "-1", "9223372036854775808", "SAME_UPPER", "ab,bc->ac", "...,...->"}
	return list[m.rng.IntN(len(list))]
}
