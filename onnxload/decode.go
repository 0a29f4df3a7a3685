package onnxload

import (
	"errors"
	"fmt"
	"reflect"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// Two bytes can be an empty message that takes a hundred in memory, and one byte of a packed list eight. So what a
// file takes decoded is added up before it is: at most decodedFactor times its size, and decodedSlack.
const (
	decodedFactor = 3
	decodedSlack  = 128 << 20
)

// maxDepth is how deep protobuf lets messages be inside each other.
const maxDepth = protowire.DefaultRecursionLimit

// borrowed is the size from which on the numbers of initializers are not copied but read where they lie in the file.
const borrowed = 4 << 10

var errDamaged = errors.New("a message inside it cannot be read; copy or export it again")

// decode reads the messages of a file. Large raw_data of initializers are ranges of b. It also returns about how many bytes
// the messages take besides.
func decode(b []byte) (p *onnxpb.ModelProto, size int64, err error) {
	w := weigher{}
	size, ok := w.message(b, modelLayout(), 0)
	if !ok {
		return nil, 0, errDamaged
	}
	if size > decodedFactor*int64(len(b))+decodedSlack {
		most := ""
		if name := nameOf(w.heaviest, w.kind); name != "" {
			most = fmt.Sprintf(" (most of it %s %q)", kindNames[w.kind], name)
		}
		return nil, 0, fmt.Errorf("its %s would become %s in memory%s; no real model is like that: save it again with onnx.save, which packs the numbers",
			bytesText(int64(len(b))), bytesText(size), most)
	}
	p = new(onnxpb.ModelProto)
	if w.raw < len(b)/2 {
		if err := proto.Unmarshal(b, p); err != nil {
			return nil, 0, errDamaged
		}
		return p, size, nil
	}
	slim, raws, err := withoutRaw(b)
	if err != nil || proto.Unmarshal(slim, p) != nil {
		return nil, 0, errDamaged
	}
	for i, raw := range raws {
		if raw != nil {
			p.Graph.Initializer[i].RawData = raw
		}
	}
	return p, size - int64(w.raw), nil
}

// withoutRaw returns the file without the large raw_data of the graph's initializers, and these.
func withoutRaw(b []byte) (slim []byte, raws [][]byte, err error) {
	slim, err = rewriteFields(nil, b, func(num protowire.Number, _ int, graph []byte) ([][]byte, bool, error) {
		if num != modelGraph {
			return nil, true, nil
		}
		g, err := rewriteFields(nil, graph, func(num protowire.Number, _ int, t []byte) ([][]byte, bool, error) {
			if num != graphInitializer {
				return nil, true, nil
			}
			var raw []byte
			t, err := rewriteFields(nil, t, func(num protowire.Number, _ int, body []byte) ([][]byte, bool, error) {
				if num != tensorRaw {
					return nil, true, nil
				}
				if raw = nil; len(body) < borrowed {
					return nil, true, nil
				}
				raw = body[:len(body):len(body)]
				return nil, false, nil
			})
			raws = append(raws, raw)
			return [][]byte{t}, false, err
		})
		return [][]byte{g}, false, err
	})
	return slim, raws, err
}

// A layout is what the decoded form of a message takes.
type layout struct {
	size   int64 // of the Go struct, as it is allocated
	fields map[protowire.Number]fieldLayout
}

type fieldLayout struct {
	message *layout // nil for numbers, strings and bytes
	bytes   bool
	list    bool
	elem    int64 // size of a number
	varint  bool
}

// modelLayout is that of a ModelProto.
var modelLayout = sync.OnceValue(func() *layout {
	known := map[protoreflect.FullName]*layout{}
	var of func(protoreflect.MessageDescriptor) *layout
	of = func(d protoreflect.MessageDescriptor) *layout {
		if l := known[d.FullName()]; l != nil {
			return l
		}
		l := &layout{size: 256, fields: map[protowire.Number]fieldLayout{}}
		known[d.FullName()] = l
		if t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName()); err == nil {
			n := int64(reflect.TypeOf(t.Zero().Interface()).Elem().Size())
			l.size = n + n/8 // the allocator rounds up
		}
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			x := fieldLayout{list: f.IsList(), elem: 8, varint: true}
			switch f.Kind() {
			case protoreflect.MessageKind, protoreflect.GroupKind:
				x.message = of(f.Message())
			case protoreflect.BytesKind, protoreflect.StringKind:
				x.bytes = true
			case protoreflect.FloatKind:
				x.elem, x.varint = 4, false
			case protoreflect.DoubleKind:
				x.varint = false
			case protoreflect.Int32Kind, protoreflect.EnumKind:
				x.elem = 4
			}
			l.fields[f.Number()] = x
		}
		return l
	}
	return of((*onnxpb.ModelProto)(nil).ProtoReflect().Descriptor())
})

// A weigher adds up what messages take.
type weigher struct {
	raw      int              // bytes of large raw_data of the graph's initializers
	heaviest []byte           // the part of the graph that takes most
	kind     protowire.Number // and which field of the graph it is
	most     int64
}

var kindNames = map[protowire.Number]string{graphNode: "node", graphInitializer: "initializer"}

// message returns the size of a decoded message, and whether it can be read as far as its fields are concerned. For a list's
// slots twice their size is counted, for lists grow.
func (w *weigher) message(b []byte, l *layout, depth int) (int64, bool) {
	if depth > maxDepth {
		return 0, false
	}
	graph := modelLayout().fields[modelGraph].message
	inGraph, isTensor := depth == 1 && l == graph, depth == 2 && l == graph.fields[graphInitializer].message
	size := l.size
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, false
		}
		k := protowire.ConsumeFieldValue(num, typ, b[n:])
		if k < 0 {
			return 0, false
		}
		f, known := l.fields[num]
		var body []byte
		if typ == protowire.BytesType {
			body, _ = protowire.ConsumeBytes(b[n:])
		}
		b = b[n+k:]
		slot := int64(16)
		if f.list {
			slot = 64
		}
		switch {
		case !known:
			size += 2 * int64(n+k)
		case typ != protowire.BytesType:
			size += slot
		case f.bytes:
			size += slot + int64(len(body))
			if isTensor && num == tensorRaw && len(body) >= borrowed {
				w.raw += len(body)
			}
		case f.message == nil:
			size += slot + f.numbers(body)
		default:
			part, ok := w.message(body, f.message, depth+1)
			if !ok {
				return 0, false
			}
			if size += slot + part; inGraph && part > w.most && kindNames[num] != "" {
				w.most, w.heaviest, w.kind = part, body, num
			}
		}
	}
	return size, true
}

// numbers is the size of a packed list.
func (f *fieldLayout) numbers(body []byte) int64 {
	if !f.varint {
		return int64(len(body))
	}
	n := int64(0)
	for _, c := range body {
		n += int64(^c >> 7) // the last byte of a number has no first bit
	}
	return n * f.elem
}

// nameOf reads the name of an encoded node or initializer.
func nameOf(b []byte, kind protowire.Number) (name string) {
	field := nodeName
	if kind == graphInitializer {
		field = tensorName
	}
	rewriteFields(nil, b, func(num protowire.Number, _ int, body []byte) ([][]byte, bool, error) {
		if num == field && len(body) < 1<<10 {
			name = string(body)
		}
		return nil, false, nil
	})
	return name
}
