package report

import (
	"strings"
	"unicode/utf8"
)

// Table writes rows under each other in columns, the first row as their heads. The columns whose numbers are
// listed are aligned to the right.
func Table(rows [][]string, right ...int) string {
	var width []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	alignRight := make([]bool, len(width))
	for _, i := range right {
		alignRight[i] = true
	}
	var b strings.Builder
	for _, r := range rows {
		var line strings.Builder
		for i, cell := range r {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if alignRight[i] {
				cell, pad = pad+cell, ""
			}
			line.WriteString(cell + pad + "  ")
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}
