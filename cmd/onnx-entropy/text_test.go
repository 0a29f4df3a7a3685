package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// poem is a text that is easy to predict.
func poem(lines int) []byte {
	return bytes.Repeat([]byte("row, row, row your boat\ngently down the stream\n"), lines)
}

// TestTrainText trains charlstm on a text, and evaluates it again from the written file alone.
func TestTrainText(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "book/poem.txt", poem(60))
	args := []string{"train", "charlstm", "--data", "book", "--batch", "4", "--optimizer", "adam", "--lr", "0.01", "--clip-norm", "5", "--epochs", "3", "--evaluations", "3", "--out", "t.onnx"}
	out := must(t, args...)
	if !strings.Contains(out, "Reading    4 streams of windows of 50 symbols, 4 recurrent states carried") || !strings.Contains(out, "perplexity") || !strings.Contains(out, "validation loss") {
		t.Errorf("%s", out)
	}
	var r result
	if err := report.ReadJSON("runs/1/result", &r); err != nil || r.Test == nil || r.Valid == nil {
		t.Fatalf("%v, %+v", err, r)
	}
	if loss := float64(r.Test.Loss); !(loss < 2.5) || math.Abs(float64(*r.Test.Perplexity)-math.Exp(loss)) > 1e-9 || math.Abs(float64(*r.Test.Bits)-loss/math.Log(2)) > 1e-9 {
		t.Errorf("%+v", r.Test)
	}
	for _, c := range []struct {
		part string
		want *evaluation
	}{{"test", r.Test}, {"valid", r.Valid}} {
		var got evaluation
		if err := json.Unmarshal([]byte(must(t, "eval", "t.onnx", "--data", "book", "--part", c.part, "--json")), &got); err != nil || got.Loss != c.want.Loss || got.Count != c.want.Count {
			t.Errorf("%s: eval says %v of %d, train %v of %d (%v)", c.part, got.Loss, got.Count, c.want.Loss, c.want.Count, err)
		}
	}
	var all evaluation
	if err := json.Unmarshal([]byte(must(t, "eval", "t.onnx", "--data", "book/poem.txt", "--part", "all", "--streams", "3", "--json")), &all); err != nil || all.Count != len(poem(60))-1 {
		t.Errorf("%d symbols are predicted of %d (%v)", all.Count, len(poem(60)), err)
	}
	m, err := onnxload.ParseFile("t.onnx")
	if err != nil {
		t.Fatal(err)
	}
	var symbols []string
	if err := json.Unmarshal([]byte(m.Metadata()[metaSymbols]), &symbols); err != nil || symbols[0] != " " || symbols[len(symbols)-1] != "<unk>" || m.Metadata()[metaVocab] != "char" {
		t.Errorf("%q, %v", symbols, err)
	}
	// A symbol that training never saw is <unk>, and fine-tuning keeps the numbers.
	write(t, "new.txt", append(poem(20), "Zürich"...))
	must(t, "eval", "t.onnx", "--data", "new.txt", "--part", "all")
	must(t, "train", "t.onnx", "--data", "new.txt", "--split", "1,0", "--batch", "2", "--max-outer", "1", "--optimizer", "sgd", "--out", "u.onnx")
	u, err := onnxload.ParseFile("u.onnx")
	if err != nil || u.Metadata()[metaSymbols] != m.Metadata()[metaSymbols] {
		t.Errorf("fine-tuning has another vocabulary (%v)", err)
	}
}

// TestTextResumes stops the program between two checkpoints and compares the files with those of a run that was not.
func TestTextResumes(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "poem.txt", poem(60))
	args := []string{"train", "charlstm", "--data", "poem.txt", "--batch", "4", "-L", "5", "--optimizer", "entropy-adam", "--max-outer", "4", "--epochs", "9", "--reinit", "3"}
	must(t, args...)
	cmd := program(append(args, "--checkpoint-every", "7")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		if c, _ := filepath.Glob("runs/2/checkpoints/000000000007.ckpt"); len(c) > 0 {
			break
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	if _, err := os.Stat("runs/2/trained.onnx"); err == nil {
		t.Skip("it was finished before it could be killed")
	}
	must(t, "train", "--resume", "runs/2", "--threads", "1")
	if !bytes.Equal(read(t, "runs/1/trained.onnx"), read(t, "runs/2/trained.onnx")) {
		t.Error("the resumed run ends at another model")
	}
}

func TestTextErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "poem.txt", poem(60))
	write(t, "short.txt", []byte("row your boat"))
	write(t, "m.onnx", newLinear(4).onnx())
	for _, c := range []struct {
		args, part string
		code       int
	}{
		{"train charlstm --data poem.txt --batch 4 --window 20", "takes windows of 50 symbols", 2},
		{"train charlstm --data poem.txt --batch 4 --sampler uniform", "read from front to back", 2},
		{"train charlstm --data poem.txt --batch 4 --no-shuffle", "read from front to back", 2},
		{"train charlstm --data poem.txt --batch 4 --scale 2", "no effect with text", 2},
		{"train charlstm --data poem.txt --batch 4 --split 0.5,0.6", "add up to 1", 2},
		{"train charlstm --data poem.txt --batch 4 --vocab-size 1", "at least 2", 2},
		{"train charlstm --data poem.txt --batch 4 --loss mse", "classes", 2},
		{"train charlstm --data poem.txt --batch 4 --optimizer sam+adam --accumulate 2", "give a larger --batch", 2},
		{"train charlstm --data poem.txt --batch 4 --optimizer parle --accumulate 2", "give a larger --batch", 2},
		{"train charlstm --data short.txt --batch 4", "smaller --batch, or more text", 2},
		{"train m.onnx --data poem.txt", "no input of symbols", 1},
		{"train charlstm --data nowhere.txt", "no such file", 1},
		{"predict charlstm --data poem.txt", "eval says how well", 2},
		{"eval charlstm --data poem.txt", "records no vocabulary", 1},
	} {
		_, errs, code := call(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(errs, c.part) {
			t.Errorf("%s: exit code %d, %s", c.args, code, errs)
		}
	}
	if _, err := os.Stat("runs"); err == nil {
		t.Error("a run that cannot begin leaves a folder")
	}
}
