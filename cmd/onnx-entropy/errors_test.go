package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

func readIfThere(path string) ([]byte, error) { return os.ReadFile(path) }

// Whatever is wrong is said in one line that names it, with the right exit code, and leaves no file behind.
func TestErrors(t *testing.T) {
	dir := workDir(t)
	model := newLinear(6).onnx()
	write(t, "short.onnx", model[:len(model)/2])
	write(t, "text.onnx", []byte("This is not a network.\n"))
	write(t, "empty.onnx", nil)
	write(t, "big.onnx", newLinear(8).onnx())
	fixed := newLinear(6)
	fixed.fixed = 16
	write(t, "fixed.onnx", fixed.onnx())
	noDropout := "m.onnx has no Dropout node"
	images, labels := squares(20, 6, 3)
	labels[17] = 3
	write(t, "label/train-images-idx3-ubyte", idx(images, 20, 6, 6))
	write(t, "label/train-labels-idx1-ubyte", idx(labels, 20))
	write(t, "count/train-images-idx3-ubyte", idx(images, 20, 6, 6))
	write(t, "count/train-labels-idx1-ubyte", idx(labels[:19], 19))
	write(t, "cut/train-images-idx3-ubyte", idx(images, 20, 6, 6)[:200])
	write(t, "cut/train-labels-idx1-ubyte", idx(labels, 20))
	write(t, "none/readme", []byte("x"))
	var mute onnxpb.ModelProto
	if err := proto.Unmarshal(model, &mute); err != nil {
		t.Fatal(err)
	}
	mute.Graph.Output = nil
	write(t, "mute.onnx", marshal(t, &mute))
	before := files(t, dir)

	for _, c := range []struct {
		args string
		code int
		want []string // parts of the line
	}{
		// Files.
		{"train mute.onnx --data data", 1, []string{"mute.onnx", "no output"}},
		{"train mute.onnx --data data --head 2", 1, []string{"mute.onnx", "no output"}},
		{"eval mute.onnx --data data", 1, []string{"mute.onnx", "no output"}},
		{"predict mute.onnx --data data", 1, []string{"mute.onnx", "no output"}},
		{"bench mute.onnx", 1, []string{"mute.onnx", "no output"}},
		{"train no.onnx --data data", 1, []string{"no.onnx", "no such file", "mnistconv"}},
		{"train none --data data", 1, []string{"none is a directory"}},
		{"train text.onnx --data data", 1, []string{"text.onnx", "is not an ONNX file"}},
		{"train empty.onnx --data data", 1, []string{"empty.onnx", "is not an ONNX file", "empty"}},
		{"train short.onnx --data data", 1, []string{"short.onnx", "cut off"}},
		{"eval short.onnx --data data", 1, []string{"short.onnx", "cut off"}},
		{"predict text.onnx --data data", 1, []string{"text.onnx", "is not an ONNX file"}},
		{"inspect empty.onnx", 1, []string{"empty.onnx"}},
		{"grad no.onnx --case none", 1, []string{"no.onnx", "no such file"}},
		{"bench no.onnx", 1, []string{"no.onnx", "no such file"}},
		{"verify nowhere", 1, []string{"nowhere", "no such directory"}},
		{"verify none", 1, []string{"none", "no test case"}},
		// Memory.
		{"inspect m.onnx --max-memory much", 2, []string{"--max-memory", `"much"`, "4GiB"}},
		{"inspect m.onnx --max-memory 0", 2, []string{"--max-memory", `"0"`}},
		{"inspect m.onnx --loop-rounds 0", 2, []string{"--loop-rounds is 0", "at least 1"}},
		{"train m.onnx --data data --max-memory 1KiB", 1, []string{"m.onnx", "the limit is 1.0 KiB"}},
		{"eval m.onnx --data data --max-memory 1KiB", 1, []string{"m.onnx", "the limit is 1.0 KiB"}},
		{"predict m.onnx --data data --max-memory 1KiB", 1, []string{"m.onnx", "the limit is 1.0 KiB"}},
		// Data.
		{"train m.onnx --data nowhere", 1, []string{"nowhere", "no such file or directory"}},
		{"train m.onnx --data none", 1, []string{"none", "no data found"}},
		{"train m.onnx --data label", 1, []string{"train-labels-idx1-ubyte", "label of sample 17 is 3", "0 to 2"}},
		{"eval m.onnx --data label", 1, []string{"label of sample 17 is 3"}},
		{"train m.onnx --data count", 1, []string{"train-labels-idx1-ubyte", "19", "20"}},
		{"train m.onnx --data cut", 1, []string{"train-images-idx3-ubyte"}},
		{"train big.onnx --data data", 1, []string{"big.onnx takes samples of shape 1x8x8", "1x6x6", "export"}},
		{"eval big.onnx --data data", 1, []string{"1x8x8", "1x6x6"}},
		{"predict big.onnx --data data", 1, []string{"1x8x8", "1x6x6"}},
		{"train m.onnx --data data --loss mse", 1, []string{"no target values", "mse"}},
		{"train m.onnx --data data --std 0", 1, []string{"std is 0"}},
		{"train m.onnx --data data --mean 1,2", 1, []string{"2 values of mean"}},
		{"grad m.onnx --case none", 1, []string{"none", "input_0.pb", "target_0.pb"}},
		// Fine-tuning.
		{"train m.onnx --data data --head 0", 2, []string{"--head is 0"}},
		{"train m.onnx --data data --freeze conv*", 1, []string{"m.onnx", `"conv*"`, `close are "b", "w", "gemm"`}},
		{"train m.onnx --data data --freeze *", 1, []string{"m.onnx", "all 2 parameters are frozen"}},
		{"train m.onnx --data data --trainable [", 1, []string{`"["`, "malformed"}},
		// Output.
		{"train m.onnx --data data --out no/o.onnx", 1, []string{"no/o.onnx", "no directory no"}},
		{"predict m.onnx --data data --out no/y.csv", 1, []string{"no/y.csv", "no directory no"}},
		// No data.
		{"train m.onnx", 2, []string{"m.onnx", "1x6x6", "labels from 0 to 2", "--data DIR"}},
		{"train mnistconv", 2, []string{"1x28x28", "labels from 0 to 9", "--data builtin:digits"}},
		{"eval m.onnx", 2, []string{"--data"}},
		{"predict m.onnx", 2, []string{"--data or --input"}},
		{"train m.onnx --data data --out=", 2, []string{"--out is empty"}},
		{"train m.onnx --data data --mean=", 2, []string{"--mean is empty"}},
		// Options without effect.
		{"train m.onnx --data data --optimizer sgd --gamma 1", 2, []string{"--gamma has no effect with --optimizer sgd"}},
		{"train m.onnx --data data --optimizer sgd -L 5", 2, []string{"--langevin-steps has no effect"}},
		{"train m.onnx --data data --optimizer sgd --inner-lr 1", 2, []string{"--inner-lr has no effect"}},
		{"train m.onnx --data data --optimizer sgd --scoping 0", 2, []string{"--scoping has no effect"}},
		{"train m.onnx --data data --optimizer sgd --noise 0", 2, []string{"--noise has no effect"}},
		{"train m.onnx --data data --optimizer sgd --alpha 1", 2, []string{"--alpha has no effect"}},
		{"train m.onnx --data data --optimizer sgd --outer-momentum 0", 2, []string{"--outer-momentum has no effect"}},
		{"train m.onnx --data data --optimizer adam --momentum 0.5", 2, []string{"--momentum has no effect with --optimizer adam", "sgd"}},
		{"train m.onnx --data data --optimizer sgd --beta1 0.5", 2, []string{"--beta1 has no effect", "entropy-adam"}},
		{"train m.onnx --data data --beta2 0.5", 2, []string{"--beta2 has no effect"}},
		{"train m.onnx --data data --epsilon 0.5", 2, []string{"--epsilon has no effect"}},
		{"train m.onnx --data data --rho 0.5", 2, []string{"--rho has no effect", "parle"}},
		{"train m.onnx --data data --rho-max 0.5", 2, []string{"--rho-max has no effect"}},
		{"train m.onnx --data data --replicas 2", 2, []string{"--replicas has no effect"}},
		{"train m.onnx --data data --sam-radius 0.1", 2, []string{"--sam-radius has no effect", "sam"}},
		{"train m.onnx --data data --lookahead-steps 2", 2, []string{"--lookahead-steps has no effect"}},
		{"train m.onnx --data data --lookahead-rate 0.2", 2, []string{"--lookahead-rate has no effect"}},
		{"train m.onnx --data data --swa-start 0.2", 2, []string{"--swa-start has no effect"}},
		{"train m.onnx --data data --swa-every 2", 2, []string{"--swa-every has no effect"}},
		{"train m.onnx --data data --optimizer sgd --compat lua", 2, []string{"--compat has no effect"}},
		{"train m.onnx --data data --optimizer sgd --auto-gamma", 2, []string{"--auto-gamma has no effect"}},
		{"train m.onnx --data data --optimizer sgd --outer-gamma", 2, []string{"--outer-gamma has no effect"}},
		{"train m.onnx --data data --optimizer sgd --outer-noise 0.1", 2, []string{"--outer-noise has no effect"}},
		{"train m.onnx --data data --optimizer sgd --decay-place late", 2, []string{"--decay-place has no effect"}},
		{"train m.onnx --data data --optimizer sgd --gamma-max 1", 2, []string{"--gamma-max has no effect"}},
		{"train m.onnx --data data --optimizer sgd --scoping-form linear", 2, []string{"--scoping-form linear has no effect"}},
		{"train m.onnx --data data --adam-loops inner", 2, []string{"--adam-loops has no effect"}},
		{"train m.onnx --data data --plain-momentum", 2, []string{"--plain-momentum has no effect"}},
		{"train m.onnx --data data --optimizer sgd --plain-momentum --momentum 0", 2, []string{"--plain-momentum has no effect"}},
		{"train m.onnx --data data --gamma-max 1", 2, []string{"--gamma-max has no effect without --scoping-form bounded"}},
		{"train m.onnx --data data --scoping 0 --scoping-form linear", 2, []string{"--scoping-form has no effect"}},
		{"train m.onnx --data data --gamma 0 --scoping-form linear", 2, []string{"--scoping-form has no effect"}},
		{"train m.onnx --data data --auto-gamma --gamma 0.1", 2, []string{"--gamma is 0.1", "--auto-gamma"}},
		{"train m.onnx --data data --decay-place late", 2, []string{"--decay-place has no effect with --weight-decay 0"}},
		{"train m.onnx --data data --compat torch --scoping 0.1", 2, []string{"--scoping is 0.1", "--compat"}},
		{"train m.onnx --data data --compat lua --outer-momentum 0.1", 2, []string{"--outer-momentum is 0.1", "--compat"}},
		{"train m.onnx --data data --optimizer entropy-adam --outer-momentum 0.1", 2, []string{"--outer-momentum is 0.1", "--adam-loops"}},
		{"train m.onnx --data data --optimizer adamw --weight-decay 0", 2, []string{"--optimizer adam"}},
		{"train m.onnx --data data --decay-all", 2, []string{"--decay-all has no effect with --weight-decay 0"}},
		{"train m.onnx --data data --optimizer elastic-sgd --scoping 0.1", 2, []string{"--scoping has no effect", "--rho"}},
		{"train m.onnx --data data --clip-norm 0", 2, []string{"--clip-norm", "clip nothing"}},
		{"train m.onnx --data data --gamma 0 --scoping 0.1", 2, []string{"--scoping has no effect"}},
		{"train m.onnx --data data --dropout 0.5", 2, []string{"--dropout has no effect", noDropout}},
		{"models --out f", 2, []string{"--out has no effect"}},
		{"predict m.onnx --data data --input x.npy", 2, []string{"--data and --input"}},
		// Values.
		{"train m.onnx --data data --max-outer 0", 2, []string{"--max-outer is 0"}},
		{"train m.onnx --data data --epochs 0", 2, []string{"--epochs is 0"}},
		{"train m.onnx --data data --batch 0", 2, []string{"--batch is 0"}},
		{"train m.onnx --data data --batch 61", 2, []string{"--batch is 61", "60 samples", "--batch 60 or less"}},
		{"train m.onnx --data data --threads=-1", 2, []string{"--threads is -1"}},
		{"train m.onnx --data data --dropout 1", 2, []string{"--dropout 1: the ratio must be"}},
		{"train m.onnx --data data --dropout gemm=x", 2, []string{"--dropout gemm=x: the ratio must be"}},
		{"train m.onnx --data data --dropout gem=0.5", 1, []string{"no such node or tensor", `"gemm"`}},
		{"train m.onnx --data data --scale 0", 2, []string{"--scale 0"}},
		{"train m.onnx --data data --lr 0", 2, []string{"--lr is 0"}},
		{"train m.onnx --data data --inner-lr 0", 2, []string{"--inner-lr is 0"}},
		{"train m.onnx --data data --alpha 2", 2, []string{"--alpha is 2"}},
		{"train m.onnx --data data --momentum 1", 2, []string{"--momentum is 1"}},
		{"train m.onnx --data data --outer-momentum 1", 2, []string{"--outer-momentum is 1"}},
		{"train m.onnx --data data -L 0", 2, []string{"--langevin-steps is 0"}},
		{"train m.onnx --data data --gamma=-1", 2, []string{"--gamma is -1"}},
		{"train m.onnx --data data --noise=-1 --weight-decay=-2", 2, []string{"--noise is -1", "--weight-decay is -2"}},
		{"eval m.onnx --data data --batch 0", 2, []string{"--batch is 0"}},
		{"eval m.onnx --data data --threads 2000000000", 2, []string{"--threads is 2000000000", "from 1 to 1024"}},
		{"bench m.onnx --batch 2000000000", 2, []string{"--batch is 2000000000", "from 1 to 65536"}},
		{"train fixed.onnx --data data --batch 16", 1, []string{"fixed.onnx", "reshape", "the batch is 12", "dynamic batch"}},
		{"predict m.onnx --data data --out y.txt", 2, []string{"y.txt", ".npy or .csv"}},
		{"models mnistconv", 2, []string{"--out FILE"}},
		{"models nothing --out f", 1, []string{`"nothing"`, "mnistconv"}},
		// Usage.
		{"train m.onnx --dta data", 2, []string{"--dta", "--data"}},
		{"train m.onnx --data data --optimizer adagrad", 2, []string{"--optimizer", "adagrad", "sgd"}},
		{"train m.onnx --data data --optimizer sam+swa+sgd", 2, []string{"the order is swa+lookahead+sam"}},
		{"train m.onnx --data data --optimizer adam+sgd", 2, []string{`"adam"`}},
		{"train m.onnx --data data --loss hinge", 2, []string{"--loss", "hinge", "mse"}},
		{"train m.onnx --data data --export fast", 2, []string{"--export", "fast"}},
		{"train m.onnx --data data --epochs many", 2, []string{"--epochs", "many"}},
		{"train m.onnx extra --data data", 2, []string{"extra"}},
		{"eval", 2, []string{"<model>"}},
		{"grad m.onnx", 2, []string{"--case"}},
		{"verify", 2, []string{"<dir>"}},
		{"fly", 2, []string{"fly", "train", "verify"}},
	} {
		out, errs, code := call(t, strings.Fields(c.args)...)
		verb := strings.Fields(c.args)[0]
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d: %s", c.args, code, c.code, errs)
		}
		lines := strings.Split(strings.TrimSuffix(errs, "\n"), "\n")
		if len(lines) != 1 || out != "" {
			t.Errorf("%s: prints %q and %q, want one line", c.args, out, errs)
		}
		last := lines[len(lines)-1]
		for _, want := range c.want {
			if !strings.Contains(last, want) {
				t.Errorf("%s: the message lacks %q: %s", c.args, want, last)
			}
		}
		hint := fmt.Sprintf("(see: onnx-entropy %s --help)", verb)
		if verb == "fly" {
			hint = "(see: onnx-entropy --help)"
		}
		if strings.Contains(last, hint) != (c.code == 2) {
			t.Errorf("%s: exit code %d and the message %s", c.args, c.code, last)
		}
		for _, pkg := range []string{"onnxload:", "runner:", "dataset:", "optimizer:", "models:"} {
			if strings.Contains(last, pkg) {
				t.Errorf("%s: the message names a package: %s", c.args, last)
			}
		}
		if got := files(t, dir); got != before {
			t.Fatalf("%s: it left files: %s", c.args, got)
		}
	}
}

// inspect shows what it can of a file without outputs.
func TestInspectWithoutOutputs(t *testing.T) {
	workDir(t)
	var m onnxpb.ModelProto
	if err := proto.Unmarshal(read(t, "m.onnx"), &m); err != nil {
		t.Fatal(err)
	}
	m.Graph.Output = nil
	write(t, "mute.onnx", marshal(t, &m))
	out, errs, code := call(t, "inspect", "mute.onnx")
	if code != 1 || !strings.Contains(out, "Input    x") || !strings.Contains(errs, "no output") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

func TestUnsupportedNodesAreListedAtOnce(t *testing.T) {
	dir := workDir(t)
	l := newLinear(6)
	l.last = "Nonsense"
	write(t, "l.onnx", l.onnx())
	before := files(t, dir)
	_, errs, code := call(t, "train", "l.onnx", "--data", "data")
	if code != 1 || !strings.Contains(errs, `"nonsense"`) || !strings.Contains(errs, "Nonsense, opset 11") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if files(t, dir) != before {
		t.Errorf("files %s", files(t, dir))
	}
}

func TestSeedErrors(t *testing.T) {
	for _, args := range [][]string{{"--seed", "-1"}, {"--seed=-1"}, {"--seed", "18446744073709551616"}, {"--reinit", "1.5"}} {
		_, errs, code := call(t, append([]string{"train"}, args...)...)
		if code != 2 || !strings.Contains(errs, "expected an integer from 0 to 2^64-1, not \"") {
			t.Errorf("%q: exit code %d, %q", args, code, errs)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"train", "--help"}, {"--version"}} {
		out, errs, code := call(t, args...)
		if code != 0 || errs != "" || !strings.Contains(out, "onnx-entropy") {
			t.Errorf("%q: exit code %d, %q, %q", args, code, out, errs)
		}
	}
	out := must(t, "train", "--help")
	flags := []string{"--optimizer", "-L,", "--lr-schedule", "--warm-up", "--scoping-form", "--adam-loops", "--plain-momentum", "--label-smoothing",
		"--batch", "--epochs", "--max-outer", "--seed", "--reinit", "--dropout", "--loss", "--scale",
		"--mean", "--std", "--no-shuffle", "--threads", "--export", "--out"}
	for _, k := range new(methodFlags).knobs() {
		flags = append(flags, "--"+k.flag)
	}
	for _, flag := range flags {
		if !strings.Contains(out, flag) {
			t.Errorf("train --help does not mention %s", flag)
		}
	}
}
