package onnxload_test

import (
	"strings"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

func TestLinearAttentionErrors(t *testing.T) {
	for _, c := range []struct {
		name, rule       string
		q, k, v          []any
		heads, groups    int
		want             string
		decay, beta, old []any
	}{
		{name: "no decay", rule: "gated", q: list[any](1, 2, 4), k: list[any](1, 2, 4), v: list[any](1, 2, 4), heads: 2, groups: 2, want: "decay: true"},
		{name: "beta", rule: "linear", q: list[any](1, 2, 4), k: list[any](1, 2, 4), v: list[any](1, 2, 4), beta: list[any](1, 2, 2), heads: 2, groups: 2, want: "beta: false"},
		{name: "no heads", rule: "linear", q: list[any](1, 2, 4), k: list[any](1, 2, 4), v: list[any](1, 2, 4), heads: 0, groups: 2, want: "0 heads"},
		{name: "no groups", rule: "linear", q: list[any](1, 2, 4), k: list[any](1, 2, 4), v: list[any](1, 2, 4), heads: 2, groups: 0, want: "0 heads"},
		{name: "odd heads", rule: "linear", q: list[any](1, 2, 6), k: list[any](1, 2, 4), v: list[any](1, 2, 4), heads: 3, groups: 2, want: "3 heads"},
		{name: "other lengths", rule: "linear", q: list[any](1, 2, 4), k: list[any](1, 3, 4), v: list[any](1, 2, 4), heads: 2, groups: 2, want: "input 1"},
		{name: "wide beta", rule: "delta", q: list[any](1, 2, 4), k: list[any](1, 2, 4), v: list[any](1, 2, 4), beta: list[any](1, 2, 4), heads: 2, groups: 2, want: "input 5"},
		{name: "four dimensions", rule: "linear", q: list[any](1, 2, 2, 2), k: list[any](1, 2, 4), v: list[any](1, 2, 4), heads: 2, groups: 2, want: "three dimensions"},
		{name: "no elements", rule: "linear", q: list[any](1, 0, 4), k: list[any](1, 0, 4), v: list[any](1, 0, 4), heads: 2, groups: 2, want: "in"},
		{name: "a state of another size", rule: "linear", q: list[any](1, 2, 4), k: list[any](1, 2, 4), v: list[any](1, 2, 4), old: list[any](1, 2, 2, 3), heads: 2, groups: 2, want: "past state"},
		{name: "a long sequence", rule: "linear", q: list[any](1, 1<<24, 4), k: list[any](1, 1<<24, 4), v: list[any](1, 1<<24, 4), heads: 2, groups: 2, want: "16777216 elements"},
	} {
		inputs, names := list(input("q", c.q...), input("k", c.k...), input("v", c.v...)), list("q", "k", "v", "", "", "")
		for i, dims := range [][]any{c.old, c.decay, c.beta} {
			if dims != nil {
				names[3+i] = list("old", "decay", "beta")[i]
				inputs = append(inputs, input(names[3+i], dims...))
			}
		}
		m := must(onnxload.Parse(marshal(model(27, inputs, nil, list(node("LinearAttention", names, list("y"), "update_rule", c.rule,
			"q_num_heads", c.heads, "kv_num_heads", c.groups)), "y"))))
		if _, err := m.Build(1, onnxload.Options{}); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "cannot be built") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
