package main

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// A knob is a flag that sets fields of methods.
type knob struct {
	flag  string        // without the dashes
	value reflect.Value // of the flag
	sets  []string      // Type.Field
}

// given tells whether the flag was.
func (k knob) given() bool { return !k.value.IsZero() }

// knobs lists the flags with fields, in the order of --help.
func (f *methodFlags) knobs() (all []knob) {
	v := reflect.ValueOf(f).Elem()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		sets := field.Tag.Get("sets")
		if sets == "" {
			continue
		}
		flag := field.Tag.Get("name")
		if flag == "" {
			flag = kebab(field.Name)
		}
		all = append(all, knob{flag, v.Field(i), strings.Fields(sets)})
	}
	return all
}

// kebab is the flag that kong makes of a field's name.
func kebab(field string) string {
	return strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(field, "$1-$2"))
}

// target is the field of m, or of what it is wrapped around, that k sets; the zero Value if none is.
func (k knob) target(m optimizer.Settled) reflect.Value {
	for _, v := range chain(m) {
		for _, s := range k.sets {
			if kind, field, _ := strings.Cut(s, "."); kind == v.Type().Name() && inUse(v, field) {
				return v.FieldByName(field)
			}
		}
	}
	return reflect.Value{}
}

// inUse is false for Adam's coefficients where there is no Adam.
func inUse(v reflect.Value, field string) bool {
	m, entropy := v.Addr().Interface().(*optimizer.EntropySGD)
	return !entropy || m.InnerAdam || m.OuterAdam || field != "Beta1" && field != "Beta2" && field != "Epsilon"
}

// apply sets the fields of m that flags were given for. A flag without a field there is an error.
func (f *methodFlags) apply(m optimizer.Settled) error {
	for _, k := range f.knobs() {
		if !k.given() {
			continue
		}
		to := k.target(m)
		if !to.IsValid() && k.flag == "gamma-max" && f.ScopingForm == "bounded" {
			continue // scope uses it
		}
		if !to.IsValid() {
			return usagef("--%s has no effect with --optimizer %s; it belongs to %s", k.flag, f.Optimizer, k.owners())
		}
		v := k.value
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() == reflect.String && (v.String() == "paper" || v.String() == "inner") {
			v = reflect.ValueOf("") // the names of the defaults
		}
		to.Set(v.Convert(to.Type()))
	}
	return nil
}

// owners names the optimizers that k has an effect on.
func (k knob) owners() string {
	names := map[string]string{"EntropySGD": "entropy-sgd", "SGD": "sgd", "Adam": "adam", "Parle": "parle", "SAM": "sam", "Lookahead": "lookahead", "SWA": "swa"}
	var s []string
	for _, t := range k.sets {
		kind, field, _ := strings.Cut(t, ".")
		name := names[kind]
		if kind == "EntropySGD" && (field == "Beta1" || field == "Beta2" || field == "Epsilon") {
			name = "entropy-adam"
		}
		s = append(s, name)
	}
	return strings.Join(s, ", ")
}

// A setting is a hyperparameter by the name of its flag.
type setting struct {
	name  string
	value string
}

// settings lists the hyperparameters of m by their flags.
func (f *methodFlags) settings(m optimizer.Settled) []setting {
	var all []setting
	for _, k := range f.knobs() {
		if to := k.target(m); to.IsValid() {
			all = append(all, setting{k.flag, textOf(k.flag, to)})
		}
	}
	add := func(name, value string) { all = append(all, setting{name, value}) }
	bases := chain(m)
	switch m := bases[len(bases)-1].Addr().Interface().(type) {
	case *optimizer.EntropySGD:
		form := f.ScopingForm
		if form == "" {
			form = "exponential"
		}
		add("scoping-form", form)
		if form == "bounded" && f.GammaMax == nil {
			add("gamma-max", "1")
		} else if form == "bounded" {
			add("gamma-max", report.Number(*f.GammaMax))
		}
		if m.InnerAdam || m.OuterAdam {
			add("adam-loops", map[[2]bool]string{{true, true}: "both", {true, false}: "inner", {false, true}: "outer"}[[2]bool{m.InnerAdam, m.OuterAdam}])
		}
	case *optimizer.SGD:
		if m.Momentum != 0 && !m.Nesterov {
			add("plain-momentum", "true")
		}
	}
	if f.DecayAll {
		add("decay-all", "true")
	}
	add("lr-schedule", f.LRSchedule)
	if f.WarmUp != nil && *f.WarmUp != 0 {
		add("warm-up", report.Number(*f.WarmUp))
	}
	return all
}

// plain tells whether a setting is as it is without any flag, and needs no mention.
func (s setting) plain() bool {
	switch s.name {
	case "lr-schedule":
		return s.value == "constant"
	case "scoping-form":
		return s.value == "exponential"
	case "compat":
		return s.value == "paper"
	case "decay-place":
		return s.value == "inner"
	}
	return s.value == "0" || s.value == "false"
}

// textOf is the value of a field as its flag takes it.
func textOf(flag string, v reflect.Value) string {
	switch v.Kind() {
	case reflect.Float64:
		return report.Number(v.Float())
	case reflect.String:
		if v.String() == "" {
			return map[string]string{"compat": "paper", "decay-place": "inner"}[flag]
		}
		return v.String()
	}
	return fmt.Sprint(v.Interface())
}

// flagNames puts the names of flags for those of fields in an error of Validate, which is a list of complaints
// after the names of the methods that they are about.
func flagNames(err error) error {
	flags := map[string]string{"EntropySGD.InnerAdam": "--adam-loops", "EntropySGD.OuterAdam": "--adam-loops", "SGD.Nesterov": "--momentum"}
	for _, k := range new(methodFlags).knobs() {
		for _, s := range k.sets {
			flags[s] = "--" + k.flag
		}
	}
	about := ""
	complaints := strings.Split(strings.TrimPrefix(err.Error(), "optimizer: "), "; ")
	for i, c := range complaints {
		for {
			kind, rest, ok := strings.Cut(c, ": ")
			if !ok || strings.Contains(kind, " ") {
				break
			}
			about, c = kind, rest
		}
		complaints[i] = regexp.MustCompile(`\b[A-Z]\w*`).ReplaceAllStringFunc(c, func(word string) string {
			if word == "Threads" {
				return "--threads"
			}
			if flag := flags[about+"."+word]; flag != "" {
				return flag
			}
			return word
		})
	}
	return errors.New(strings.Join(complaints, "; "))
}

// known is v, or nil if it is no number.
func known(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
