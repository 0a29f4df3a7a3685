package report

import (
	"math"
	"testing"
	"time"
)

func TestFormats(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(999), "999"}, {Count(1000), "1,000"}, {Count(uint64(1234567)), "1,234,567"}, {Count(-1000), "-1,000"}, {Count(-100), "-100"},
		{Plural(1, "epoch", "epochs"), "1 epoch"}, {Plural(0, "epoch", "epochs"), "0 epochs"}, {Plural(2000, "epoch", "epochs"), "2,000 epochs"},
		{Duration(0), "0.0 s"}, {Duration(59900 * time.Millisecond), "59.9 s"}, {Duration(59990 * time.Millisecond), "1 min 0 s"},
		{Duration(125 * time.Second), "2 min 5 s"}, {Duration(3599700 * time.Millisecond), "1 h 0 min"}, {Duration(2*time.Hour + 3*time.Minute), "2 h 3 min"},
		{Shape([]int{1, 28, 28}), "1x28x28"}, {Shape(nil), "scalar"},
		{Number(0.0001), "0.0001"}, {Number(0), "0"}, {Number(1e-5), "1e-05"}, {Number(20), "20"}, {Number(1.0 / 255), "0.00392156862745098"}, {Number(math.NaN()), "NaN"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	got := Table([][]string{{"Name", "Count", "Last"}, {"a", "1", ""}, {"längeres", "1,000", "x"}}, 1)
	want := "Name      Count  Last\na             1\nlängeres  1,000  x\n"
	if got != want {
		t.Errorf("got\n%s want\n%s", got, want)
	}
}
