package main

import (
	"fmt"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/models"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

type modelsCmd struct {
	Name string `arg:"" optional:"" help:"Embedded model to write."`
	Out  string `short:"o" placeholder:"FILE" help:"Where to write it."`
}

// Run lists the embedded models or writes one.
func (c *modelsCmd) Run(e *env) error {
	switch {
	case c.Name == "" && c.Out != "":
		return usagef("--out has no effect without the name of a model")
	case c.Name != "" && c.Out == "":
		return usagef("where should %s be written? Give --out FILE", c.Name)
	case c.Name != "":
		b, err := models.Open(c.Name)
		if err != nil {
			return err
		}
		if err := report.WriteFile(c.Out, b); err != nil {
			return err
		}
		e.printf("%s: %s bytes", c.Out, report.Count(len(b)))
		return nil
	}
	rows := [][]string{{"Name", "Weights", "Takes"}}
	for _, name := range models.Names() {
		m, err := openEmbedded(name)
		if err != nil {
			return err
		}
		net, err := m.build(1, onnxload.Options{Training: true})
		if err != nil {
			return err
		}
		rows = append(rows, []string{name, report.Count(net.NumWeights()), m.asks()})
	}
	fmt.Fprint(e.stdout, report.Table(rows, 1))
	return nil
}
