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

// adam complains about the coefficients of Adam.
func (s *settings) adam(beta1, beta2, epsilon float64) {
	s.must(beta1 >= 0 && beta1 < 1, "Beta1", beta1, "at least 0 and below 1")
	s.must(beta2 >= 0 && beta2 < 1, "Beta2", beta2, "at least 0 and below 1")
	s.must(epsilon > 0, "Epsilon", epsilon, "above 0")
}

// base complains about what is wrong with the method that another one is wrapped around.
func (s *settings) base(m Settled) {
	if m == nil {
		s.add("Base is nil; it must be the method to wrap")
	} else if err := m.Validate(); err != nil {
		s.add("%s", strings.TrimPrefix(err.Error(), "optimizer: "))
	}
}
