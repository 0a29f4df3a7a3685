package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"image/color"
	"io"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
)

func (c *reproduceCmd) pictureName() string { return filepath.Join(c.Dir, c.Name+".png") }

// armColors are those of the arms' curves.
var armColors = []color.Color{color.RGBA{R: 0xc0, G: 0x39, B: 0x2b, A: 0xff}, color.RGBA{R: 0x1f, G: 0x4e, B: 0x9c, A: 0xff}}

// picture draws what is measured during every run against the passes over the data, counted in gradients, as the paper's
// figures do: a colour an arm, a thin line a seed.
func (c *reproduceCmd) picture(x experiment, all []reproduced) error {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s (%s)", c.Name, x.paper)
	p.X.Label.Text = "epochs, counted in gradient evaluations"
	p.Y.Label.Text = x.measure.curve
	p.X.Tick.Marker, p.Y.Tick.Marker = exactTicks{}, exactTicks{}
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	for i, a := range x.arms {
		if c.Budget != nil {
			a.epochs = *c.Budget
		}
		for seed := 1; seed <= c.Seeds; seed++ {
			var points plotter.XYs
			for _, v := range find(all, x, a, seed).Curve {
				points = append(points, plotter.XY{X: v[0], Y: x.measure.of(v[1], v[1])})
			}
			if len(points) == 0 {
				continue
			}
			line, err := plotter.NewLine(points)
			if err != nil {
				return err
			}
			line.Color, line.Width = armColors[i%len(armColors)], vg.Points(0.8)
			p.Add(line)
			if seed == 1 {
				p.Legend.Add(a.name, line)
			}
		}
	}
	w, err := p.WriterTo(16*vg.Centimeter, 10*vg.Centimeter, "png")
	if err != nil {
		return err
	}
	return report.WriteTo(c.pictureName(), func(f io.Writer) error {
		_, err := w.WriteTo(f)
		return err
	})
}

// exactTicks are the default ones, each with its whole number: plot rounds 1.25 to 1.2 where the next one is 1.45.
type exactTicks struct{}

func (exactTicks) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i, t := range ticks {
		if t.Label != "" {
			ticks[i].Label = fmt.Sprintf("%.6g", t.Value)
		}
	}
	return ticks
}

// curve reads the test errors of a log, or the losses of the validation part.
func curve(path string) (points [][2]float64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var m struct {
			Epoch float64
			Test  *struct{ Error *float64 }
			Valid *struct{ Loss *float64 }
		}
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		switch {
		case m.Test != nil && m.Test.Error != nil:
			points = append(points, [2]float64{m.Epoch, *m.Test.Error})
		case m.Valid != nil && m.Valid.Loss != nil:
			points = append(points, [2]float64{m.Epoch, *m.Valid.Loss})
		}
	}
	return points, nil
}
