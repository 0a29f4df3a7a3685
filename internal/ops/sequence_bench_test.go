package ops

import "testing"

// BenchmarkRecurrent runs the forward and the backward operator on one thread: 20 steps of 128 sequences, 128 units.
func BenchmarkRecurrent(b *testing.B) {
	for _, c := range []recurrentCase{
		{op: "LSTM", t: 20, n: 128, i: 128, h: 128, bias: true, want: [3]bool{true}},
		{op: "GRU", t: 20, n: 128, i: 128, h: 128, bias: true, linear: true, want: [3]bool{true}},
		{op: "GRU", t: 20, n: 128, i: 128, h: 128, bias: true, want: [3]bool{true}},
		{op: "RNN", t: 20, n: 128, i: 128, h: 128, bias: true, want: [3]bool{true}},
		{op: "LSTM", t: 20, n: 8, i: 128, h: 512, bias: true, want: [3]bool{true}},
	} {
		for _, j := range jobs(b, c.build, 0, shapesOf(c.inputs())...) {
			switch j.op.(type) {
			case *sequenceForward, *sequenceBackward:
			default:
				continue
			}
			b.Run(c.String()+"/"+j.op.String(), func(b *testing.B) {
				for b.Loop() {
					if err := j.run(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(FLOPs(j.op)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
			})
		}
	}
}
