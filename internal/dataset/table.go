package dataset

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A table is a CSV file of numbers with a header, and one column that is the target: numbers, or names of classes.
type table struct {
	name    string
	header  []string
	rows    int
	values  []float32 // (rows, columns without the target)
	target  string    // name of the target column; "" if there is none
	targets []string  // its fields
	lines   []int     // of each row, for errors
	column  int       // of the target in the file, from 1, for errors
}

var tableName = regexp.MustCompile(`(?i)\.csv(\.gz)?$`)

// maxTable bounds the numbers of a table; a gzip file can unpack to anything.
const maxTable = 1 << 29

// missing are what programs write where a value is missing.
var missing = []string{"", "na", "n/a", "nan", "null", "none", "?", "-"}

// readTable reads the columns of a CSV file; target names the one that is the target, "" says that there is none.
// All other columns must hold finite numbers. With optional the target may be absent.
func readTable(s *source, target string, optional bool) (*table, error) {
	r := csv.NewReader(s.r)
	r.ReuseRecord = true
	r.TrimLeadingSpace = true
	header, err := r.Read()
	if err != nil {
		return nil, s.tableError(err, 0, 0)
	}
	t := &table{name: s.name, target: target}
	for i, h := range header {
		h = strings.TrimSpace(strings.TrimPrefix(h, "\ufeff"))
		if slices.Contains(t.header, h) || h == "" {
			return nil, s.errorf("line 1, column %d: its name is %q; columns need names of their own", i+1, h)
		}
		if _, err := strconv.ParseFloat(h, 64); err == nil {
			return nil, s.errorf("line 1, column %d: %q is a number where the name of the column is expected; the first line is a header", i+1, h)
		}
		t.header = append(t.header, h)
	}
	if target == "" && !optional {
		return nil, s.errorf("is a table, and %s; name the one to be predicted with --target", t.described())
	}
	at := slices.Index(t.header, target)
	if at < 0 && target != "" && !optional {
		return nil, s.errorf("has no column %q to be the target; %s", target, t.described())
	}
	columns := len(t.header)
	t.column = at + 1
	if at < 0 {
		t.target = ""
	} else {
		t.header = slices.Delete(slices.Clone(t.header), at, at+1)
	}
	if len(t.header) == 0 {
		return nil, s.errorf("has no column but the target")
	}
	for {
		record, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, s.tableError(err, len(record), columns)
		}
		line, _ := r.FieldPos(0)
		column := 0
		for i, field := range record {
			field = strings.TrimSpace(field)
			if i == at {
				if slices.Contains(missing, strings.ToLower(field)) {
					return nil, s.errorf("line %d, column %d (%s): %q, a missing value, where a target is expected; leave the row out", line, i+1, target, field)
				}
				t.targets = append(t.targets, strings.Clone(field))
				continue
			}
			v, err := strconv.ParseFloat(field, 64)
			if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || math.IsInf(float64(float32(v)), 0) {
				what := fmt.Sprintf("%q", field)
				if slices.Contains(missing, strings.ToLower(field)) {
					what += ", a missing value,"
				}
				return nil, s.errorf("line %d, column %d (%s): %s where a finite number is expected; fill it in, or leave the row or the column out", line, i+1, t.header[column], what)
			}
			t.values = append(t.values, float32(v))
			column++
		}
		if len(t.values) > maxTable {
			return nil, s.errorf("line %d: the table has more than %d numbers, which are kept in memory", line, maxTable)
		}
		t.lines = append(t.lines, line)
		t.rows++
	}
	if t.rows == 0 {
		return nil, s.errorf("has a header but no rows")
	}
	return t, nil
}

// described lists the columns, and says what may be wrong if there is one alone.
func (t *table) described() string {
	if h := t.header[0]; len(t.header) == 1 && strings.ContainsAny(h, ";\t|") {
		return fmt.Sprintf("its header is %q; separate the columns by commas", h)
	}
	return "its columns are " + some(t.header)
}

// tableError says where a file is no CSV; the last row has fields, the header columns.
func (s *source) tableError(err error, fields, columns int) error {
	var p *csv.ParseError
	switch {
	case err == io.EOF:
		return s.errorf("is empty")
	case errors.As(err, &p) && errors.Is(p.Err, csv.ErrFieldCount):
		return s.errorf("line %d: the number of fields is %d, that of the header %d; where a field holds a comma, put it in quotes", p.StartLine, fields, columns)
	case errors.As(err, &p):
		return s.errorf("line %d, character %d: %w", p.Line, p.Column, p.Err)
	}
	return s.errorf("%w", err)
}

// set makes samples of a table. Targets that are all whole numbers from 0 become labels, other numbers targets to be
// regressed, and anything else names of classes; classes, if there are any, are those that names must be of.
func (t *table) set(classes []string) (*Set, error) {
	s := &Set{Name: t.name, Shape: []int{len(t.header)}, Floats: t.values, Columns: t.header}
	if t.target == "" {
		return s, s.Use(Transform{})
	}
	numbers, labels := true, true
	for _, f := range t.targets {
		v, err := strconv.ParseFloat(f, 64)
		numbers = numbers && err == nil && !math.IsInf(v, 0) && !math.IsNaN(v)
		labels = labels && numbers && v == math.Trunc(v) && v >= 0 && v < math.MaxInt32
	}
	switch {
	case classes == nil && labels:
		for _, f := range t.targets {
			v, _ := strconv.ParseFloat(f, 64)
			s.Labels = append(s.Labels, int64(v))
			s.Classes = max(s.Classes, int(v)+1)
		}
		return s, s.Use(Transform{})
	case classes == nil && numbers:
		for _, f := range t.targets {
			v, _ := strconv.ParseFloat(f, 32)
			s.Targets = append(s.Targets, float32(v))
		}
		return s, s.Use(Transform{})
	case classes == nil:
		classes = slices.Sorted(slices.Values(t.targets))
		classes = slices.Compact(classes)
	}
	number := map[string]int64{}
	for i, c := range classes {
		number[c] = int64(i)
	}
	for i, f := range t.targets {
		n, ok := number[f]
		if !ok {
			return nil, fmt.Errorf("dataset: %s: line %d, column %d (%s): %q is none of the %d classes %s", t.name, t.lines[i], t.column, t.target, f, len(classes), some(classes))
		}
		s.Labels = append(s.Labels, n)
	}
	s.ClassNames, s.Classes = classes, len(classes)
	return s, s.Use(Transform{})
}

// some lists names, not too many, in quotes where they are not made of letters and the like.
func some(names []string) string {
	var list []string
	for _, n := range names[:min(8, len(names))] {
		if q := strconv.Quote(n); q[1:len(q)-1] != n {
			n = q
		}
		list = append(list, n)
	}
	if len(names) > 8 {
		list = append(list, "...")
	}
	return strings.Join(list, ", ")
}

// openTables reads CSV files for parts of the data, which must have the columns of the first, in any order.
func openTables(paths map[string]string, o Options) (*Data, error) {
	d := new(Data)
	var columns []string
	classes := o.Classes
	if o.Columns != nil {
		columns = o.Columns
	}
	for _, p := range []struct {
		part string
		to   **Set
	}{{"train", &d.Train}, {"valid", &d.Valid}, {"test", &d.Test}} {
		if paths[p.part] == "" {
			continue
		}
		src, err := open(paths[p.part])
		if err != nil {
			return nil, err
		}
		t, err := readTable(src, o.Target, o.NoTarget)
		src.close()
		if err != nil {
			return nil, err
		}
		if columns != nil {
			if err := t.reorder(columns); err != nil {
				return nil, err
			}
		}
		s, err := t.set(classes)
		if err != nil {
			return nil, err
		}
		columns = t.header
		if s.ClassNames != nil {
			classes = s.ClassNames
		}
		*p.to = s
	}
	return d, nil
}

// reorder brings the columns into the given order.
func (t *table) reorder(columns []string) error {
	if slices.Equal(columns, t.header) {
		return nil
	}
	var from []int
	for _, c := range columns {
		k := slices.Index(t.header, c)
		if k < 0 {
			return fmt.Errorf("dataset: %s: has no column %q; it is expected to have %s", t.name, c, some(columns))
		}
		from = append(from, k)
	}
	for _, h := range t.header {
		if !slices.Contains(columns, h) {
			return fmt.Errorf("dataset: %s: its column %q is none of %s; take it out, or name it with --target if it is the target", t.name, h, some(columns))
		}
	}
	n := len(columns)
	row := make([]float32, n)
	for i := range t.rows {
		copy(row, t.values[i*n:])
		for k, f := range from {
			t.values[i*n+k] = row[f]
		}
	}
	t.header = slices.Clone(columns)
	return nil
}
