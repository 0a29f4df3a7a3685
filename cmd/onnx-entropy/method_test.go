package main

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// Every field in a tag exists and takes the flag's value, and every number that can be set of a method has a flag.
func TestEveryFieldHasAFlag(t *testing.T) {
	types := map[string]optimizer.Settled{"EntropySGD": &optimizer.EntropySGD{}, "SGD": &optimizer.SGD{}, "Adam": &optimizer.Adam{},
		"Parle": &optimizer.Parle{}, "Clip": &optimizer.Clip{}, "Accumulate": &optimizer.Accumulate{}, "SAM": &optimizer.SAM{},
		"Lookahead": &optimizer.Lookahead{}, "SWA": &optimizer.SWA{}}
	set := map[string]bool{}
	for _, k := range new(methodFlags).knobs() {
		for _, s := range k.sets {
			kind, name, _ := strings.Cut(s, ".")
			field := reflect.ValueOf(types[kind]).Elem().FieldByName(name)
			of := k.value.Type()
			if of.Kind() == reflect.Pointer {
				of = of.Elem()
			}
			if !field.IsValid() || !of.ConvertibleTo(field.Type()) || of.Kind() != field.Kind() {
				t.Errorf("--%s cannot set %s", k.flag, s)
			}
			set[s] = true
		}
	}
	elsewhere := []string{"Seed", "Threads", "Total", "Schedule", "Scope", "Base", "Statistics", "Nesterov", "Decoupled", "InnerAdam", "OuterAdam"}
	for kind, m := range types {
		v := reflect.TypeOf(m).Elem()
		for i := range v.NumField() {
			if f := v.Field(i); f.IsExported() && !f.Anonymous && !slices.Contains(elsewhere, f.Name) && !set[kind+"."+f.Name] {
				t.Errorf("no flag sets %s.%s", kind, f.Name)
			}
		}
	}
}

// lastRun is the configuration and the metrics of run n.
func lastRun(t *testing.T, n string) (c config, lines []metrics) {
	t.Helper()
	if err := json.Unmarshal(read(t, "runs/"+n+"/config"), &c); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(read(t, "runs/"+n+"/metrics.jsonl"))) {
		var m metrics
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, m)
	}
	return c, lines
}

// Every optimizer trains with all of its flags, which its configuration shows and its file carries.
func TestEveryOptimizerTrains(t *testing.T) {
	for _, c := range []struct {
		args      string
		gradients uint64
		outer     int
		settings  string // by flag, a few of all
	}{
		{"", 40, 2, "langevin_steps=20 gamma=0.0001 compat=paper scoping_form=exponential"},
		{"-L 3 --lr 0.9 --inner-lr 0.2 --gamma 0.01 --scoping 0.1 --scoping-form bounded --gamma-max 0.02 --noise 0.01 --alpha 0.5 --momentum 0.5 --outer-momentum 0.1 --weight-decay 0.01 --decay-place both --outer-gamma --outer-noise 0.001",
			42, 14, "langevin_steps=3 lr=0.9 inner_lr=0.2 gamma=0.01 scoping=0.1 scoping_form=bounded gamma_max=0.02 noise=0.01 alpha=0.5 momentum=0.5 outer_momentum=0.1 weight_decay=0.01 decay_place=both outer_gamma=true outer_noise=0.001"},
		{"--compat lua -L 3", 40, 10, "compat=lua scoping=0.001"},
		{"--compat torch -L 3 --outer-momentum 0.2 --weight-decay 0.01", 40, 10, "compat=torch scoping=0"},
		{"--auto-gamma -L 4", 40, 10, "auto_gamma=true gamma=0"},
		{"--optimizer entropy-adam -L 4", 40, 10, "lr=0.003 beta1=0.9 beta2=0.999 epsilon=1e-08 adam_loops=outer momentum=0.9"},
		{"--optimizer entropy-adam -L 4 --adam-loops both --beta1 0.5", 40, 10, "beta1=0.5 adam_loops=both momentum=0"},
		{"--optimizer entropy-adam -L 4 --adam-loops inner", 40, 10, "lr=1 adam_loops=inner"},
		{"--optimizer entropy-sgld -L 4", 40, 10, "outer_noise=0.0001"},
		{"--optimizer sgd --lr-schedule step:0.5@0.5 --warm-up 0.2", 40, 40, "lr=0.1 momentum=0.9 lr_schedule=step:0.5@0.5 warm_up=0.2"},
		{"--optimizer sgd --plain-momentum --momentum 0.5", 40, 40, "plain_momentum=true momentum=0.5"},
		{"--optimizer adam --lr 0.01 --beta1 0.8 --beta2 0.99 --epsilon 1e-6 --weight-decay 0.1", 40, 40, "lr=0.01 beta1=0.8 beta2=0.99 epsilon=1e-06 weight_decay=0.1"},
		{"--optimizer adamw", 40, 40, "weight_decay=0.01"},
		{"--optimizer adamw --decay-all", 40, 40, "weight_decay=0.01 decay_all=true"},
		{"--optimizer parle -L 2 --replicas 2 --rho 0.5 --rho-max 2 --gamma 0.1 --gamma-max 0.2 --scoping 0.01", 40, 10, "replicas=2 rho=0.5 rho_max=2 gamma=0.1 gamma_max=0.2 scoping=0.01"},
		{"--optimizer parle -L 5 --replicas 1", 40, 8, "replicas=1 rho=0"},
		{"--optimizer elastic-sgd", 42, 14, "replicas=3 langevin_steps=1 gamma=0 rho=0.1"},
		{"--optimizer sam", 40, 20, "sam_radius=0.05 lr=0.1"},
		{"--optimizer sam+entropy-sgd -L 4 --sam-radius 0.01", 40, 5, "sam_radius=0.01 langevin_steps=4"},
		{"--optimizer lookahead+adam --lookahead-steps 4 --lookahead-rate 0.5", 40, 10, "lookahead_steps=4 lookahead_rate=0.5 lr=0.001"},
		{"--optimizer swa --swa-start 0.5 --swa-every 2", 40, 40, "swa_start=0.5 swa_every=2"},
		{"--optimizer swa+lookahead+sam+adamw --lookahead-steps 2 --accumulate 2 --clip-norm 1 --clip-value 0.1", 40, 5,
			"swa_start=0.75 lookahead_steps=2 sam_radius=0.05 accumulate=2 clip_norm=1 clip_value=0.1 weight_decay=0.01"},
		{"--label-smoothing 0.1 --optimizer sgd", 40, 40, ""},
	} {
		workDir(t)
		out := must(t, append(strings.Fields("train m.onnx --data data --batch 16 --epochs 10 --out o.onnx"), strings.Fields(c.args)...)...)
		cfg, lines := lastRun(t, "1")
		if cfg.Gradients != c.gradients || len(lines) != c.outer {
			t.Errorf("%q: %d gradients in %d outer steps, want %d in %d", c.args, cfg.Gradients, len(lines), c.gradients, c.outer)
		}
		m, err := openModel("o.onnx")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range strings.Fields(c.settings) {
			key, want, _ := strings.Cut(s, "=")
			if cfg.Settings[key] != want || m.meta["onnx_entropy."+key] != want {
				t.Errorf("%q: %s is %q in the configuration and %q in the file, want %s", c.args, key, cfg.Settings[key], m.meta["onnx_entropy."+key], want)
			}
		}
		if told := strings.Contains(out, "found by --auto-gamma"); told != strings.Contains(c.args, "--auto-gamma") {
			t.Errorf("%q: gamma is told: %v", c.args, told)
		}
		if !strings.Contains(out, "Optimizer  ") || strings.Contains(out, " 0,") {
			t.Errorf("%q: %s", c.args, out)
		}
	}
}

// The rate follows the run's progress whatever a gradient of the base costs.
func TestSchedulesUnderWrappers(t *testing.T) {
	for _, args := range []string{"--optimizer sgd", "--optimizer sam", "--optimizer sam+sgd --accumulate 2", "--optimizer lookahead --lookahead-steps 2",
		"--optimizer swa+sam+parle --replicas 2 -L 2", "--accumulate 2 -L 4 --optimizer entropy-adam"} {
		workDir(t)
		must(t, append(strings.Fields("train m.onnx --data data --batch 16 --epochs 20 --lr 0.1 --lr-schedule linear"), strings.Fields(args)...)...)
		cfg, lines := lastRun(t, "1")
		per := float64(cfg.Gradients) / float64(len(lines))
		for i, m := range lines {
			// A step of Lookahead has several rates, of which the last is shown.
			if want := 0.1 * (1 - per*float64(i)/float64(cfg.Gradients)); m.LR > want+1e-12 || m.LR < want-0.1*per/float64(cfg.Gradients) {
				t.Errorf("%s: the rate of outer step %d of %d is %v, want about %v", args, i+1, len(lines), m.LR, want)
			}
		}
	}
}

func TestStatisticsAreLogged(t *testing.T) {
	workDir(t)
	must(t, strings.Fields("train m.onnx --data data --batch 16 --epochs 10 -L 4 --gamma 0.1 --scoping 0.5")...)
	must(t, strings.Fields("train m.onnx --data data --batch 16 --epochs 10 --optimizer parle -L 2")...)
	_, lines := lastRun(t, "1")
	travelled := 0.0
	for i, m := range lines {
		if m.Gamma == nil || math.Abs(*m.Gamma-0.1*math.Pow(1.5, float64(i))) > 1e-9 {
			t.Errorf("outer step %d: gamma %v", i, m.Gamma)
		}
		if m.Distance == nil || *m.Distance <= 0 || m.Gradient == nil || *m.Gradient <= 0 || m.Cosine == nil || math.Abs(*m.Cosine) > 1 || m.Travelled == nil {
			t.Fatalf("outer step %d: %+v", i, m)
		}
		travelled += *m.Distance // the rate is 1
		if math.Abs(*m.Travelled-travelled) > 1e-5*travelled {
			t.Errorf("outer step %d: travelled %v, want %v", i, *m.Travelled, travelled)
		}
	}
	if c := *lines[0].Cosine; c < 0.5 {
		t.Errorf("the first outer step is at a cosine of %v to the gradient of the loss", c)
	}
	if _, lines := lastRun(t, "2"); lines[0].Rho == nil || *lines[0].Rho != 1 || lines[0].Distance != nil {
		t.Errorf("parle: %+v", lines[0])
	}
}
