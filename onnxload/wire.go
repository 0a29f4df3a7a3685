package onnxload

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of fields that are read or changed without decoding what is around them.
const (
	modelGraph    protowire.Number = 7
	modelMetadata protowire.Number = 14
	modelTraining protowire.Number = 20
	modelFunction protowire.Number = 25

	graphNode        protowire.Number = 1
	graphInitializer protowire.Number = 5
	graphSparse      protowire.Number = 15
	graphInput       protowire.Number = 11
	graphOutput      protowire.Number = 12
	graphValueInfo   protowire.Number = 13

	nodeName   protowire.Number = 3
	tensorName protowire.Number = 8
	tensorRaw  protowire.Number = 9
)

var errWire = errors.New("onnxload: the file's bytes cannot be read as protocol buffer")

// rewriteFields copies a message field by field, so that whatever it is not told to change keeps its bytes:
// order, unknown fields and the way in which numbers are packed. For a field of type message, edit gets its
// number, its index among the fields of that number, and its contents; it returns what to write instead (none:
// drop the field), or keep.
func rewriteFields(dst, msg []byte, edit func(num protowire.Number, index int, body []byte) (bodies [][]byte, keep bool, err error)) ([]byte, error) {
	count := map[protowire.Number]int{}
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return nil, errWire
		}
		k := protowire.ConsumeFieldValue(num, typ, msg[n:])
		if k < 0 {
			return nil, errWire
		}
		if typ == protowire.BytesType {
			body, _ := protowire.ConsumeBytes(msg[n:])
			bodies, keep, err := edit(num, count[num], body)
			if err != nil {
				return nil, err
			}
			count[num]++
			if !keep {
				for _, b := range bodies {
					dst = protowire.AppendTag(dst, num, typ)
					dst = protowire.AppendBytes(dst, b)
				}
				msg = msg[n+k:]
				continue
			}
		}
		dst = append(dst, msg[:n+k]...)
		msg = msg[n+k:]
	}
	return dst, nil
}
