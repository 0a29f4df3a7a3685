package optimizer

import (
	"fmt"
	"math"
	"strings"
)

// settings collects what is wrong with a method's settings.
type settings []string

// must adds a complaint about the field unless ok holds and the value is finite.
func (s *settings) must(ok bool, field string, value float64, want string) {
	if !ok || math.IsNaN(value) || math.IsInf(value, 0) {
		s.add("%s is %v; it must be %s", field, value, want)
	}
}

func (s *settings) add(format string, a ...any) { *s = append(*s, fmt.Sprintf(format, a...)) }

// schedule complains about a schedule that cannot know the progress, and a number of threads below 0.
func (s *settings) schedule(f Schedule, total uint64, threads int) {
	if f != nil && total == 0 {
		s.add("Schedule is set and Total is 0; set Total to the number of gradients of the run")
	}
	s.must(threads >= 0, "Threads", float64(threads), "at least 0")
}

func (s settings) err(method string) error {
	if len(s) == 0 {
		return nil
	}
	return fmt.Errorf("optimizer: %s: %s", method, strings.Join(s, "; "))
}
