package dataset

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
)

// WriteCSV writes v as rows of len(header) columns under a line with the header. A number is written with
// as few digits as give the same float32 when read back.
func WriteCSV(w io.Writer, header []string, v []float32) error {
	if len(header) == 0 || len(v)%len(header) != 0 {
		return fmt.Errorf("dataset: %d values don't fill rows of %d columns", len(v), len(header))
	}
	c := csv.NewWriter(w)
	c.Write(header)
	c.Flush()
	if err := c.Error(); err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	var buf []byte
	for i, f := range v {
		buf = strconv.AppendFloat(buf[:0], float64(f), 'g', -1, 32)
		if (i+1)%len(header) == 0 {
			buf = append(buf, '\n')
		} else {
			buf = append(buf, ',')
		}
		b.Write(buf)
	}
	return b.Flush()
}
